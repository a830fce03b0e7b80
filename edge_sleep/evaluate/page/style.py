"""The page's one style sheet. One accent; every pair of letters and ground has a contrast of 4.5 or more in both themes."""
from __future__ import annotations

LIGHT = {"paper": "#fbfaf7", "wash": "#f2efe8", "ink": "#23282d", "quiet": "#5b636b", "line": "#dcd7cc", "accent": "#0d6862"}
DARK = {"paper": "#16191c", "wash": "#1f2428", "ink": "#e5e2db", "quiet": "#a4abb2", "line": "#363c42", "accent": "#7ecdc4"}


def sheet() -> str:
    light, dark = ("".join(f"--{name}:{value};" for name, value in theme.items()) for theme in (LIGHT, DARK))
    return f":root{{color-scheme:light dark;{light}}}@media(prefers-color-scheme:dark){{:root{{{dark}}}}}{_RULES}"


_RULES = """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",
"Liberation Sans",Arial,sans-serif;overflow-wrap:anywhere}
main{max-width:66rem;margin:0 auto;padding:1.5rem 1rem 4rem}
h1,h2{font-family:ui-serif,"Iowan Old Style","Palatino Linotype",Palatino,Georgia,"Liberation Serif",serif;font-weight:500;
text-wrap:balance}
h1{font-size:clamp(1.65rem,1.1rem + 2.6vw,2.6rem);line-height:1.2;margin:.6rem 0 .8rem;letter-spacing:-.01em}
h2{font-size:1.4rem;line-height:1.25;margin:0 0 .6rem}
h3{font-size:1rem;line-height:1.4;font-weight:600;margin:0}
section>h3{margin-top:1.5rem}
h4{font-size:.8rem;font-weight:600;color:var(--quiet);margin:0 0 .15rem}
p{margin:.4rem 0}
header{padding-bottom:.4rem}
section{border-top:1px solid var(--line);padding-top:1.5rem;margin-top:2.2rem}
.eyebrow{display:flex;flex-wrap:wrap;gap:.4rem .8rem;align-items:center;margin:0;font-size:.9rem}
.mark{font-weight:600;padding:.1rem .7rem;border-radius:1rem;border:1.5px solid currentColor}
.mark.good{background:var(--accent);color:var(--paper);border-color:var(--accent)}
.lead{font-size:1.08rem;color:var(--quiet);max-width:46rem;margin:.4rem 0}
ul.lead{padding-left:1.2rem}
.quiet,.numbers,.kind,.legend,figcaption{color:var(--quiet)}
.quiet,.legend{font-size:.92rem}
dl{margin:0}
dt{color:var(--quiet);font-size:.85rem}
dd{margin:0}
.glance{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.6rem,1fr));gap:.9rem 1.2rem;margin-top:1.6rem}
.glance dd{font-size:1.12rem;font-variant-numeric:tabular-nums}
.no,.glance dd.no{color:var(--quiet);font-style:italic;font-size:1rem}
.facts{display:grid;gap:.55rem 2rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,17rem),1fr));margin:.4rem 0 .8rem}
details{border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;background:var(--paper)}
summary{cursor:pointer;padding:.55rem .8rem}
summary:focus-visible,.scroll:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
details[open]>summary{border-bottom:1px solid var(--line)}
.folded{padding:.5rem .8rem .7rem}
.strongest{display:block;color:var(--quiet);font-size:.92rem;margin-left:1.1rem}
q{quotes:"\\201c" "\\201d"}
.exchange{padding:.5rem 0}
.exchange+.exchange{border-top:1px solid var(--line)}
.exchange p{margin:.15rem 0}
.asked{color:var(--quiet)}
.said{white-space:pre-line}
.sample{margin:1.1rem 0;background:var(--wash);border-radius:.6rem;padding:.8rem 1rem .9rem}
.kind{font-size:.85rem;margin:.1rem 0 .6rem}
.sides{display:grid;gap:.7rem 1.6rem}
.sides p{margin:0}
.right{color:var(--accent)}
@media(min-width:40rem){.sides{grid-template-columns:1fr 1fr}main{padding:2.6rem 2rem 5rem}}
.plots{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19rem),1fr));gap:1.5rem 2.2rem;margin:1rem 0}
.plots.wide{grid-template-columns:minmax(0,27rem)}
figure{margin:0;min-width:0}
figcaption{font-size:.9rem;line-height:1.4;margin-bottom:.3rem}
figcaption b{color:var(--ink)}
.numbers{font-size:.85rem;line-height:1.4;margin:.2rem 0 0;font-variant-numeric:tabular-nums}
svg{display:block;width:100%;height:auto;max-width:34rem;overflow:visible}
.t{font-size:11.5px;fill:var(--quiet);font-variant-numeric:tabular-nums}
.t.ink{fill:var(--ink);paint-order:stroke;stroke:var(--paper);stroke-width:3px}
.grid{stroke:var(--line);stroke-width:1}
.seam{stroke:var(--quiet);stroke-width:1;stroke-dasharray:2 3}
.across,.limit{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:5 3}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round;stroke:var(--accent)}
.line.other{stroke:var(--quiet);stroke-width:1.1;opacity:.6}
.line.thread{stroke:var(--line);stroke-width:1.4}
.dot{fill:var(--accent);stroke:var(--accent);stroke-width:1.5}
.dot.hollow{fill:var(--paper);stroke:var(--quiet)}
.dot.other{fill:var(--quiet);stroke:none}
.bar{fill:var(--accent)}
.span{fill:var(--accent);background:var(--accent);opacity:.2}
.span.power{fill:var(--ink);background:var(--ink);opacity:.14}
.span.energy{fill:var(--ink);background:var(--ink);opacity:.3}
.span.throttled{fill:var(--accent);background:var(--accent);opacity:.45}
.span.telemetry_lost{fill:var(--paper);background:var(--paper);stroke:var(--quiet);outline:1px dashed var(--quiet);
stroke-dasharray:3 2;opacity:.8}
.base{fill:var(--paper);stroke:var(--quiet);stroke-width:1.4}
.before{fill:var(--paper);stroke:var(--ink);stroke-width:1.6}
.after{fill:var(--accent)}
.link{stroke:var(--quiet);stroke-width:1.4}
.interval{stroke-width:3;stroke-linecap:round}
.interval.sure,.change.sure{stroke:var(--accent)}
.interval.unsure,.change.unsure{stroke:var(--quiet)}
.change{fill:var(--paper);stroke-width:1.8}
.change.sure{fill:var(--accent)}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem}
.key{display:inline-block;width:.7rem;height:.7rem;vertical-align:-.02rem;margin-right:.15rem}
.key.base{background:none;border:1.5px solid var(--quiet);transform:rotate(45deg) scale(.85)}
.key.before{background:none;border:1.6px solid var(--ink);border-radius:50%}
.key.after{background:var(--accent);border-radius:50%}
.key.interval{height:0;border-top:3px solid var(--accent);vertical-align:.22rem;width:1.1rem}
.key.span{width:1.1rem}
.scroll{overflow-x:auto;margin:.6rem 0}
table{border-collapse:collapse;font-size:.92rem;font-variant-numeric:tabular-nums;overflow-wrap:normal}
th,td{text-align:left;padding:.35rem 1.1rem .35rem 0;vertical-align:top;border-bottom:1px solid var(--line);font-weight:400}
thead th{color:var(--quiet);font-size:.85rem;white-space:nowrap}
td,tbody th{min-width:4.5rem;max-width:26rem}
.prose td:last-child{min-width:15rem}
code{font:.92em ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace}
pre{background:var(--wash);border-radius:.5rem;padding:.7rem 1rem;overflow-x:auto;margin:.6rem 0;white-space:pre-wrap}
footer{color:var(--quiet);font-size:.85rem;margin-top:3rem}
@media print{details{break-inside:avoid}}
"""
