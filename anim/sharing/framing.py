"""A page in a frame: on a web page, on slides of reveal.js, and in what Quarto makes of both.

The frame has a sandbox, so that the page can run its script, but reaches nothing of what is around it; they send each
other messages. What the page understands and says is in `anim/page/player.js`.
"""

from __future__ import annotations

import json

from ..escaping import for_markup

SANDBOX = 'sandbox="allow-scripts" allow="fullscreen"'
HEIGHT = "min(90vh, 640px)"
"""In CSS: a frame cannot ask the page how tall it is."""
_LISTENER = """\
<script> // Keys go back to the slides, and the page runs while its slide is shown.
{ const slide = document.currentScript.parentNode, frame = slide.querySelector("iframe");
const follow = () => frame.contentWindow.postMessage(slide.closest("section:not(.present)") ? PAUSE : SHOWN, "*");
frame.addEventListener("load", follow);
for (const event of EVENTS) document.addEventListener(event, follow);
addEventListener("message", ({source, data}) => { if (source === frame.contentWindow && data?.key) KEY; }); }
</script>"""
"""The events of reveal.js come through the document, also where it is a module without a global name."""
_WORDS = {
    "PAUSE": '{diffanim: "pause"}',
    "KEY": 'document.dispatchEvent(new KeyboardEvent("keydown", data))',
}
_PLAYING = {"EVENTS": json.dumps(["slidechanged"]), "SHOWN": '{diffanim: "play"}'}
_STOPPING = {
    "EVENTS": json.dumps(["slidechanged", "fragmentshown", "fragmenthidden"]),
    "SHOWN": '{diffanim: "stop", number: slide.querySelectorAll(".stop.visible").length}',
}


def on_page(url: str, title: str) -> str:
    """A page in a web page.

    Args:
        url: of the page.
        title: what it shows, in a line.
    """
    shape = f'style="width: 100%; height: {HEIGHT}; border: 0"'
    return f'<iframe src="{for_markup(url)}" {SANDBOX} loading="lazy" title="{for_markup(title)}" {shape}></iframe>'


def on_slide(url: str, title: str, stops: str = "") -> str:
    """A page on a slide of reveal.js, and what links the two.

    Each stop is an empty fragment of the slide, so that all ways in which reveal.js goes on and back go from stop to
    stop.

    Args:
        url: of the page.
        title: what it shows, in a line.
        stops: where it waits for the next key, such as "t=900,600"; empty to play from beginning to end.
    """
    count = stops.count(",") + 1 if stops else 0
    address = for_markup(f"{url}#keys=slides&play=0{f'&stops={stops}' if stops else ''}")
    shape = 'class="r-stretch" width="960" height="540" style="border: 0"'
    frame = f'<iframe data-src="{address}" data-preload {SANDBOX} title="{for_markup(title)}" {shape}></iframe>'
    listener = _LISTENER
    for name, words in {**_WORDS, **(_STOPPING if stops else _PLAYING)}.items():
        listener = listener.replace(name, words)
    fragments = ['<span class="fragment stop"></span>' * count] if stops else []
    return "\n".join([frame, *fragments, listener])


def in_quarto(url: str, title: str, stops: str = "") -> str:
    """A page in a document of Quarto, on slides or not; the arguments are those of `on_slide`."""
    return "\n\n".join(
        f'::: {{.content-visible {when}-format="revealjs"}}\n```{{=html}}\n{text}\n```\n:::'
        for when, text in (("when", on_slide(url, title, stops)), ("unless", on_page(url, title)))
    )
