"""The pages for people: the API reference, and the meaning of each error code."""

from html import escape

from flask import Flask, Response, redirect

from bot.errors import BotError, kinds

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Turntable: errors</title>
<style>
  body {{ max-width: 44rem; margin: 2rem auto; padding: 0 1rem; font: 1rem/1.5 system-ui }}
  :target {{ background: #ff9 }}
</style>
<h1>Errors</h1>
<p>Every error is a problem document (RFC 9457). Its <code>code</code> is stable; its <code>type</code> links here.</p>
<dl>
{entries}
</dl>
</html>
"""


def install(app: Flask) -> None:
    """Add the pages to an application."""
    app.add_url_rule("/docs", "docs", lambda: redirect("/openapi/swagger"))
    page = _PAGE.format(entries="\n".join(_entry(kind) for kind in kinds()))
    app.add_url_rule("/docs/errors", "errors", lambda: Response(page, content_type="text/html; charset=utf-8"))


def _entry(kind: type[BotError]) -> str:
    meaning = escape(" ".join((kind.__doc__ or "").split()))
    return f'<dt id="{kind.code}"><code>{kind.code}</code>, {kind.status}</dt>\n<dd>{meaning}</dd>'
