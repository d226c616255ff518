# Runs the R cells of a notebook: it is told where each one lies, and asks the notebook's Python for what `dbutils` does.

.notebook <- local({
  line <- socketConnection("127.0.0.1", as.integer(Sys.getenv("NOTEBOOK_PORT")), open = "r+b", blocking = TRUE, timeout = 31536000L)
  token <- Sys.getenv("NOTEBOOK_TOKEN")
  Sys.unsetenv(c("NOTEBOOK_PORT", "NOTEBOOK_TOKEN"))
  plots <- tempfile("plots-")
  dir.create(plots)
  options(device = function(...) grDevices::png(file.path(plots, "%06d.png"), 800, 600), warn = 1)

  # A value as Python writes it.
  literal <- function(value) {
    if (is.null(value)) return("None")
    if (is.factor(value)) value <- as.character(value)
    if (is.list(value) || length(value) != 1) {
      items <- vapply(value, literal, "", USE.NAMES = FALSE)
      keyed <- !is.null(names(value))
      if (keyed) items <- paste(vapply(names(value), literal, ""), items, sep = ": ")
      return(paste0(if (keyed) "{" else "[", paste(items, collapse = ", "), if (keyed) "}" else "]"))
    }
    if (is.na(value)) "None"
    else if (is.logical(value)) if (value) "True" else "False"
    else if (is.numeric(value)) format(value, digits = 15, scientific = FALSE)
    else encodeString(enc2utf8(as.character(value)), quote = "\"")
  }
  say <- function(...) writeLines(enc2utf8(literal(list(...))), line, useBytes = TRUE)
  hear <- function() {
    text <- readLines(line, 1, encoding = "UTF-8", warn = FALSE)
    if (!length(text)) quit("no", 0)
    eval(parse(text = text, keep.source = FALSE, encoding = "UTF-8"), baseenv())
  }
  ask <- function(command, ...) {
    given <- list(...)
    named <- if (is.null(names(given))) rep(FALSE, length(given)) else names(given) != ""
    say("ask", command, unname(given[!named]), given[named])
    answer <- hear()
    if (!answer[[1]]) stop(answer[[2]], call. = FALSE)
    answer[[2]]
  }
  problem <- function(error) {
    call <- conditionCall(error)
    where <- if (is.null(call)) "Error: " else paste0("Error in ", deparse(call, nlines = 1)[1], ": ")
    paste0(where, conditionMessage(error))
  }
  run <- function(path) tryCatch({
    for (expression in parse(path, keep.source = FALSE, encoding = "UTF-8")) {
      shown <- withVisible(eval(expression, globalenv()))
      if (shown$visible) if (isS4(shown$value)) methods::show(shown$value) else print(shown$value)
    }
    NULL
  }, error = problem)
  show_plots <- function() {
    grDevices::graphics.off()
    for (path in list.files(plots, full.names = TRUE)) {
      ask("png", path)
      unlink(path)
    }
  }
  serve <- function() repeat {
    failed <- run(hear())
    while (sink.number()) sink()
    show_plots()
    cat("\036", token, "\n", sep = "")
    flush(stdout())
    say("done", failed)
  }
  say(token)
  environment()
})

for (name in .notebook$hear()) local({
  command <- name
  assign(paste0("dbutils.", command), function(...) {
    answer <- .notebook$ask(command, ...)
    if (is.null(answer)) invisible(answer) else answer
  }, globalenv())
})
rm(name)
getArgument <- dbutils.widgets.getArgument
displayHTML <- function(text) invisible(.notebook$ask("html", paste(text, collapse = "\n")))
display <- function(x, ...) {
  path <- tempfile(fileext = ".csv")
  on.exit(unlink(path))
  utils::write.csv(utils::head(as.data.frame(x), 1001), path, row.names = FALSE, fileEncoding = "UTF-8")
  invisible(.notebook$ask("csv", path))
}
.notebook$serve()
