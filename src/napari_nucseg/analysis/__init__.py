"""What can be said of each object and each field, for any panel, table or report."""
