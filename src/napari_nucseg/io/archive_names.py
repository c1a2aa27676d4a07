"""Names of the members of zip archives, most of which do not say how their letters are coded.

What an archive says counts first. Else a name is in the one code page that makes words of it, by
its bytes alone: an image and its mask, whose names have the same bytes, stay a pair. Where several
code pages make words of a name, or none does, its bytes are shown as they are, as in ``%B9%D9``.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import PurePosixPath
from zipfile import ZipInfo

_IS_UTF_8 = 0x800
"""Bit by which a member says that its name is UTF-8; zipfile takes others for code page 437."""
_UNICODE_PATH = 0x7075
"""Number of the field in which some programs tell the name as UTF-8, beside the other one."""
_EAST_ASIAN = {
    "cp932": rb"(?:\x81\x5b|\x82[\x9f-\xf1]|\x83[\x40-\x96]|[\x88-\x98][\x40-\x7e\x80-\xfc])",
    "gbk": rb"(?:[\xb0-\xd7][\xa1-\xfe])",
    "cp949": rb"(?:[\xb0-\xc8][\xa1-\xfe])",
    "big5": rb"(?:[\xa4-\xc6][\x40-\x7e\xa1-\xfe])",
}
"""Code pages of Japanese, Chinese in two scripts and Korean, and the bytes of usual letters."""
_CYRILLIC = {
    "cp866": (rb"[\x80-\x9f\xf0]", rb"[\xa0-\xaf\xe0-\xef\xf1]"),
    "cp1251": (rb"[\xc0-\xdf\xa8]", rb"[\xe0-\xff\xb8]"),
}
"""Code pages of Russian, and the bytes of capitals and of small letters."""
_WESTERN = {
    "cp1252": rb"(?:[\xb0\xb2\xb5\xc0-\xd6\xd8-\xe5\xe7-\xf6\xf9-\xff]|(?<!\d)[\xe6\xf8])",
    "cp850": rb"(?:[\x80-\x9b\x9d\xa0-\xa5\xe1]|(?<=[\d _])\xe6|(?<=\d)\xf8)",
}
"""Code pages of western Europe, and the bytes of letters with accents, and of some signs."""
_EVERYDAY = frozenset(
    "的一是不了人我在有他这中大来上个国到说们为子和地出道时年得就那要下以生会自着去之过后作里用小心点同"
    "多组细胞核染色实验样品数据图像片本荧光显微镜照对正常测试结果文件夹新建副原始处理号第次天红绿蓝白血癌肝"
    "肺脑鼠标记训练集放倍张二三四五六七八九十水分离养培药物浓度加单双阴阳性前层切左右高低全部合成"
    "這個國說們為時會過後裡點組細實驗樣數據圖螢顯鏡對測試結夾處號紅綠藍腦記訓練張離養藥濃單雙陰陽層檔資料影"
    "像照片神經蛋白腫瘤免疫醫學電腦桌面複製"
    "이다에는가을고의하지기사리도로어나대자시인한정일아수부그전보만장국동상스를과서제라주세포핵염색실험료조군"
    "샘플진영미형광현경암쥐배양결데터폴더원새복본번호결과분석연구생물학적녹청백간폐뇌표준검체층좌우파복사합계"
    "비처약농단중성음모두남은든것무방법트드테블라벨마크셀소신전류확이크기내외공유문서오안여개선균간량변화"
)
"""Letters that are common in Chinese, simplified and traditional, and in Korean names of files."""


def member_path(member: ZipInfo) -> PurePosixPath:
    r"""Return what a member of an archive is called, as whoever made the archive saw it.

    Programs on Windows have written backslashes between folders.

    Examples
    --------
    >>> str(member_path(ZipInfo(r"masks\gr├╢├ƒe.png")))
    'masks/größe.png'
    """
    # zipfile changes backslashes on Windows, which may be half of a letter
    name = member.orig_filename.partition("\0")[0]
    if not name.isascii() and not member.flag_bits & _IS_UTF_8:
        with suppress(UnicodeEncodeError):  # where zipfile was told the name, not the bytes
            raw = name.encode("cp437")
            name = _told_name(member.extra, raw) or _decoded(raw)
    # Behind a letter of an unknown code page it may be half of the letter
    separator = r"(?<![^\x00-\x7f])\\" if "/" in name else r"\\"
    return PurePosixPath(re.sub(separator, "/", name))


def _told_name(extra: bytes, raw: bytes) -> str:
    """Return the name that the fields behind it tell as UTF-8; empty if they tell none of it."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == _UNICODE_PATH and field[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
            with suppress(UnicodeDecodeError):
                return field[5:].decode("utf-8")
    return ""


def _decoded(raw: bytes) -> str:
    """Decode the parts of a path, each by itself, so that other folders change no file's name."""
    return "/".join(_part_decoded(part, b"/" in raw) for part in raw.split(b"/"))


def _part_decoded(raw: bytes, is_part: bool) -> str:
    """Decode a name by the one code page that makes words of it, or escape its bytes."""
    with suppress(UnicodeDecodeError):
        return raw.decode("utf-8")
    pages = [*_asian_pages(raw), *_cyrillic_pages(raw)] or list(_western_pages(raw))
    if len(pages) > 1:
        everyday = [page for page in pages if _is_everyday(raw.decode(page, "replace"))]
        pages = everyday or [page for page in pages if page in _CYRILLIC]
    with suppress(UnicodeDecodeError):
        if len(pages) == 1:
            return raw.decode(pages[0])
    unreadable = rb"[\x80-\xff]+\\?" if is_part else rb"[\x80-\xff]+"
    return re.sub(unreadable, _escaped, raw).decode("ascii")


def _escaped(found: re.Match[bytes]) -> bytes:
    return "".join(f"%{byte:02X}" for byte in found[0]).encode()


def _asian_pages(raw: bytes) -> Iterator[str]:
    """Code pages in which all that is not ASCII are words of usual letters, and no accents.

    Accents stand one by one, within words of other letters.
    """
    for page, letter in _EAST_ASIAN.items():
        if re.fullmatch(rb"(?:[\x00-\x7f]|%b)*" % letter, raw):
            found = re.findall(rb"(?<![\x80-\xff])([a-z]?)(%b+)(?=([a-z]?))" % letter, raw)
            is_sure = [re.search(rb"[\x80-\xff]{3}", word) is not None for _, word, _ in found]
            is_alone = [not (before or after) for before, _, after in found]
            is_long = [len(word) > 2 or word.endswith(b"\\") for _, word, _ in found]
            if all(map(max, is_sure, is_alone)) and any(map(max, is_sure, is_long)):
                yield page


def _cyrillic_pages(raw: bytes) -> Iterator[str]:
    """Code pages in which all that is not ASCII are words of Russian, one of three letters."""
    runs = re.findall(rb"[\x80-\xff]+", raw)
    if max(map(len, runs)) < 3 or re.search(rb"[A-Za-z][\x80-\xff]|[\x80-\xff][A-Za-z]", raw):
        return
    for page, (capital, small) in _CYRILLIC.items():
        word = rb"%b+|%b?%b+|(?:%b%b{2,})+" % (capital, capital, small, capital, small)
        if all(re.fullmatch(word, run) for run in runs):
            yield page


def _western_pages(raw: bytes) -> Iterator[str]:
    """Code pages in which all that is not ASCII are letters with accents, within words of others.

    Two of them, or more, do not stand alone.
    """
    if re.search(rb"[\x80-\xff]{3}|(?<![A-Za-z])[\x80-\xff]{2}(?![A-Za-z])", raw):
        return
    for page, letter in _WESTERN.items():
        if re.fullmatch(rb"(?:[\x00-\x7f]|%b)*" % letter, raw):
            yield page


def _is_everyday(name: str) -> bool:
    """Whether at least half of the letters that are not ASCII are common ones."""
    letters = [letter for letter in name if not letter.isascii()]
    return 2 * sum(letter in _EVERYDAY for letter in letters) >= len(letters)
