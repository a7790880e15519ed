"""What these tests listen to is really heard: a page that does what it must not do, in each browser."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.visits import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.browser


def test_a_request_is_heard(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text('<!doctype html><img src="http://127.0.0.1:59123/pixel.png">')
    visit = Visit(browser, tmp_path / "a.html")
    assert any("http://127.0.0.1:59123/pixel.png" in complaint for complaint in visit.close())


def test_a_violation_is_heard(browser: Browser, tmp_path: Path) -> None:
    policy = "default-src 'none'; style-src 'none'"
    (tmp_path / "a.html").write_text(
        f'<!doctype html><meta http-equiv="Content-Security-Policy" content="{policy}"><p style="color: red">a'
    )
    visit = Visit(browser, tmp_path / "a.html")
    assert any("style-src" in complaint for complaint in visit.close())


def test_an_error_is_heard(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text("<!doctype html><script>undefinedName</script>")
    assert any("undefinedName" in complaint for complaint in Visit(browser, tmp_path / "a.html").close())
