"""How the page looks; colours come from Gradio's theme, light and dark."""

# Over what Gradio's own style sheet says. Its button that trims a video would
# fetch ffmpeg from a web site.
CSS = """
.gradio-container {max-width: 1200px !important; margin: 0 auto !important}
.vifi-head h1 {margin: 0 0 .2rem}
.vifi-head p {margin: 0; color: var(--body-text-color-subdued)}
.vifi-answer {padding: .25rem 0}
.vifi-verdict {font-size: 1.15rem; margin: 0 0 .75rem;
  overflow-wrap: anywhere}
.vifi-note {color: var(--body-text-color-subdued); margin: .5rem 0 0}
.vifi-alert {margin: 0; padding: .75rem 1rem; overflow-wrap: anywhere;
  border-left: 4px solid var(--error-icon-color);
  background: var(--error-background-fill); color: var(--error-text-color);
  border-radius: var(--radius-sm)}
ol.vifi-bars {list-style: none; margin: 0; padding: 0}
ol.vifi-bars li {display: grid; grid-template-columns: 1fr auto;
  gap: .1rem .75rem; margin: 0 0 .55rem; padding: 0}
.vifi-label {overflow-wrap: anywhere}
.vifi-score {font-variant-numeric: tabular-nums}
.vifi-bar {grid-column: 1 / -1; height: 8px; border-radius: 4px;
  background: var(--border-color-primary); overflow: hidden}
.vifi-bar span {display: block; height: 100%; min-width: 1px;
  background: var(--color-accent)}
.vifi-answer summary {cursor: pointer; margin-bottom: .5rem}
.vifi-frames {display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(130px, 1fr))}
.vifi-note + .vifi-frames {margin-top: .75rem}
.vifi-frames figure {margin: 0; min-width: 0}
.vifi-frames img {width: 100%; display: block;
  border-radius: var(--radius-sm)}
.vifi-frames figcaption {font-size: .85rem; line-height: 1.35;
  padding-top: .25rem; overflow-wrap: anywhere}
.vifi-time {color: var(--body-text-color-subdued); white-space: nowrap;
  font-variant-numeric: tabular-nums}
.vifi-frames .vifi-time {display: block}
ol.vifi-hits {list-style: none; margin: 0; padding: 0; display: grid;
  gap: 1.25rem; grid-template-columns:
  repeat(auto-fill, minmax(min(100%, 420px), 1fr))}
ol.vifi-hits li {margin: 0; padding: 0; min-width: 0}
ol.vifi-hits p {margin: 0 0 .35rem; overflow-wrap: anywhere}
.vifi-strip {display: grid; grid-template-columns: repeat(4, 1fr);
  gap: 4px}
.vifi-strip img {width: 100%; aspect-ratio: 4 / 3; object-fit: cover;
  border-radius: var(--radius-sm)}
#vifi-video video {max-height: 260px}
#vifi-video button[aria-label^="Trim"],
#vifi-video button[aria-label^="Reset"] {display: none}
#vifi-attention, #vifi-timeline, #vifi-frames {padding: 0 !important}
.vifi-chart {display: grid; grid-template-columns: auto 1fr; gap: .3rem .5rem;
  margin-top: .75rem}
.vifi-chart svg {width: 100%; height: 220px; overflow: visible}
.vifi-chart polyline {fill: none; stroke-width: 2.5; stroke-linejoin: round;
  vector-effect: non-scaling-stroke}
.vifi-grid {stroke: var(--border-color-primary); stroke-width: 1;
  vector-effect: non-scaling-stroke}
.vifi-y, .vifi-x {display: flex; justify-content: space-between;
  font-size: .8rem; color: var(--body-text-color-subdued);
  font-variant-numeric: tabular-nums}
.vifi-y {flex-direction: column; text-align: right; margin: -.6em 0}
.vifi-x {grid-column: 2}
ul.vifi-legend {list-style: none; margin: .75rem 0 0; padding: 0;
  display: flex; flex-wrap: wrap; gap: .25rem 1.25rem}
ul.vifi-legend li {margin: 0; padding: 0; overflow-wrap: anywhere}
.vifi-legend span {display: inline-block; width: 1.4em; height: 4px;
  border-radius: 2px; margin-right: .45em; vertical-align: middle}
.toast-wrap {top: auto !important; bottom: var(--size-4) !important}
@media (max-width: 640px) {
  .gradio-container main {padding: .75rem !important}
  .vifi-frames {grid-template-columns: repeat(2, 1fr)}
}
"""
# On a telephone the answer is below the fold.
SHOW_ANSWER = """() => {
  const answer = document.getElementById('vifi-answer');
  const top = answer.getBoundingClientRect().top;
  if (top < 0 || top > window.innerHeight * 0.7)
    answer.scrollIntoView({behavior: 'smooth', block: 'start'});
}"""
