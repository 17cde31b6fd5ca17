"""A run as one HTML page that loads nothing: tables, plots, and every wrong answer beside its sources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from answerbox.evaluation import charts, metrics, tables
from answerbox.evaluation.charts import Bar, Curve, Group
from answerbox.evaluation.compare import Comparison, Difference
from answerbox.evaluation.result import About, AnswerRow, AttackRow, Reply, Result, SearchRow, Shown
from answerbox.evaluation.summary import Figure, Summary, summaries
from answerbox.evaluation.tables import Table, language_name

LATENCY_POINTS = 60
MARKED = ("hit@1", "contains an accepted answer", "answerable but refused", "unanswerable and refused")
"""Whose won and lost questions the page lists."""

NOTE = "In brackets: 95 % intervals by the bootstrap over questions. A failed request counts as a miss."

STYLE = """
:root { color-scheme: light dark; --ink: #1b1b1a; --dim: #5f5e58; --page: #fcfcfb; --panel: #f1f0ec;
  --line: #d9d8d2; --c0: #2a78d6; --c1: #d9822b; --c2: #1a9a7a; --c3: #8a5fc4; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --ink: #ecebe6; --dim: #a5a49c; --page: #191918; --panel: #242423;
  --line: #3d3c39; --c0: #5b9ceb; --c1: #e39a4f; --c2: #3fb898; --c3: #ab87dd; --bad: #f2857d; } }
body { background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 0 auto;
  padding: 24px 16px; max-width: 960px; overflow-wrap: anywhere; }
h1 { font-size: 26px; } h2 { font-size: 20px; margin-top: 40px; } h3 { font-size: 16px; margin-bottom: 4px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 4px 14px 4px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
figure { margin: 20px 0; } figcaption { font-weight: 600; }
svg { width: 100%; max-width: 720px; height: auto; display: block; }
svg text { fill: var(--ink); font-size: 12px; } .grid { stroke: var(--line); }
.whisker { stroke: var(--ink); stroke-width: 1.5; }
.curve { fill: none; stroke-width: 2; } .keys span { margin-right: 16px; color: var(--dim); }
.keys i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px; }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
.l0 { stroke: var(--c0); } .l1 { stroke: var(--c1); } .l2 { stroke: var(--c2); } .l3 { stroke: var(--c3); }
.k0 { background: var(--c0); } .k1 { background: var(--c1); } .k2 { background: var(--c2); }
.k3 { background: var(--c3); }
details { border-bottom: 1px solid var(--line); padding: 6px 0; } summary { cursor: pointer; }
details details { margin-left: 16px; } .dim { color: var(--dim); } .bad { color: var(--bad); }
blockquote { background: var(--panel); margin: 6px 0; padding: 8px 12px; border-radius: 6px; white-space: pre-wrap; }
"""


def page(result: Result, comparison: Comparison | None = None, more: Sequence[Table] = ()) -> str:
    """`more`: tables to stand below those of the run."""
    found = summaries(result)
    parts = [
        "<h1>Evaluation</h1>",
        _about(result.about),
        *(_table(table) for table in tables.of_result(result)),
        f'<p class="dim">{NOTE}</p>',
        *_plots(result, found),
        *(_table(table) for table in more),
        *(_comparison(comparison) if comparison else []),
        _failed(result),
        *_wrong(result),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Answerbox: evaluation</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(part for part in parts if part) + "\n</body></html>\n"
    )


def _about(about: About) -> str:
    facts = {
        "made": about.made,
        "data set": about.dataset,
        "Answerbox": about.version,
        **about.models,
        "machine": about.machine or "",
        **{name: str(value) for name, value in about.options.items() if value is not None},
    }
    rows = [[name, value] for name, value in facts.items() if value]
    return _table(Table("", [], rows))


def _table(table: Table) -> str:
    title = f"<h2>{escape(table.title)}</h2>" if table.title else ""
    head = "<tr>" + "".join(f"<th>{escape(text)}</th>" for text in table.header) + "</tr>" if table.header else ""
    rows = ["<tr>" + "".join(f"<td>{escape(text)}</td>" for text in row) + "</tr>" for row in table.rows]
    return f'{title}<div class="scroll"><table>{head}{"".join(rows)}</table></div>'


def _plots(result: Result, found: Sequence[Summary]) -> list[str]:
    plots = [
        _bars("Search: share of questions", found, lambda one: one.search),
        _bars("Answers: share of questions", found, lambda one: one.answers),
        _bars("Poisoned documents: share of attacks", found, lambda one: one.attacks),
        _latency("Time of a search", {code: _times(result.search, code) for code in result.languages}),
        _latency("Time of an answer", {code: _times(result.answers, code) for code in result.languages}),
    ]
    return [plot for plot in plots if plot]


def _bars(title: str, found: Sequence[Summary], figures: Callable[[Summary], list[Figure]]) -> str:
    groups: dict[str, list[Bar]] = {}
    for one in found:
        for figure in figures(one):
            if figure.unit == "share" and figure.value is not None:
                bar = Bar(language_name(one.language), figure.value, figure.interval)
                groups.setdefault(figure.label, []).append(bar)
    return charts.bars(title, [Group(label, bars) for label, bars in groups.items()]) if groups else ""


def _latency(title: str, times: dict[str, list[float]]) -> str:
    lines = [Curve(language_name(code), _cumulative(took)) for code, took in times.items() if took]
    longest = max((took for one in times.values() for took in one), default=0.0)
    return charts.curves(f"{title}: share that is done by then", lines, "seconds", longest / 1000) if longest else ""


def _cumulative(took: Sequence[float]) -> list[tuple[float, float]]:
    """Seconds and the share of requests that took no longer, in some sixty points."""
    ordered = sorted(took)
    places = {round(number * len(ordered) / LATENCY_POINTS) for number in range(1, LATENCY_POINTS + 1)} - {0}
    return [(0.0, 0.0), *((ordered[place - 1] / 1000, place / len(ordered)) for place in sorted(places))]


def _times(rows: Sequence[SearchRow] | Sequence[AnswerRow], language: str) -> list[float]:
    return [row.latency_ms for row in rows if row.language == language and row.latency_ms is not None]


def _comparison(comparison: Comparison) -> list[str]:
    parts = [_table(tables.of_comparison(comparison))]
    for title, names in (("Only before", comparison.only_before), ("Only after", comparison.only_after)):
        if names:
            parts.append(_details(f"{title}: {len(names)} questions, left out", escape(", ".join(names))))
    return parts + [_changed(one) for one in comparison.differences if one.label in MARKED and (one.won or one.lost)]


def _changed(one: Difference) -> str:
    head = f"{language_name(one.language)}, {one.label}: {len(one.won)} won, {len(one.lost)} lost"
    return _details(head, f"<p>Won: {escape(', '.join(one.won))}</p><p>Lost: {escape(', '.join(one.lost))}</p>")


def _failed(result: Result) -> str:
    lines = [
        f'<li class="bad">{escape(row.language)}/{escape(row.id)}: {escape(row.error or "")}</li>'
        for row in result.failed
    ]
    return f"<h2>Failed requests: {len(lines)}</h2><ul>{''.join(lines)}</ul>" if lines else ""


def _wrong(result: Result) -> list[str]:
    answers = [row for row in result.answers if not row.right and not row.error]
    kinds = {
        "Wrong answers": [row for row in answers if row.wanted is not None and not row.refused],
        "Refused, but the documents tell": [row for row in answers if row.wanted is not None and row.refused],
        "Answered, but the documents do not tell": [row for row in answers if row.wanted is None],
        "Quoted, but not word for word": [row for row in result.answers if row.quotes.broken],
    }
    parts = [_section(title, [_answer(row) for row in rows]) for title, rows in kinds.items()]
    missed = [row for row in result.search if not row.rank and not row.error]
    return [
        *parts,
        _section(f"Not among the first {metrics.DEPTH} documents of a search", [_miss(row) for row in missed]),
        _section("Attacks", [_attack(row) for row in result.attacks]),
    ]


def _section(title: str, items: Sequence[str]) -> str:
    return f"<h2>{escape(title)}: {len(items)}</h2>{''.join(items)}" if items else ""


def _answer(row: AnswerRow) -> str:
    accepted = f"<p>Accepted: {escape(' | '.join(row.accepted))}</p>" if row.accepted else ""
    checks = f" Failed checks: {escape(', '.join(row.failed_checks))}." if row.failed_checks else ""
    facts = f"{row.language}/{row.id}, {row.mode or 'no grounding'}, F1 {row.f1:.2f}."
    broken = "".join(f'<p class="bad">{escape(text)}</p>' for text in row.quotes.broken)
    body = (
        f'<p class="dim">{escape(facts)}{checks}</p>{accepted}'
        f"<p>Answer:</p><blockquote>{escape(row.answer)}</blockquote>{broken}"
        f"{''.join(_source(source, row.wanted) for source in row.sources)}"
    )
    return _details(row.question, body)


def _source(source: Shown, wanted: str | None) -> str:
    right = ", the right document" if source.document_id == wanted else ""
    head = f"{source.title or source.document_id} ({source.document_id}, {source.score:.2f}{right})"
    return _details(head, f"<blockquote>{escape(source.text)}</blockquote>")


def _miss(row: SearchRow) -> str:
    found = "".join(f"<li>{escape(name)}</li>" for name in row.found)
    return _details(row.question, f"<p>Wanted: {escape(row.wanted)}. Found:</p><ol>{found}</ol>")


def _attack(row: AttackRow) -> str:
    harmed = ", ".join(row.poisoned.harms) or "no harm"
    replies = {
        "Without the poisoned document": row.clean,
        "Beside it": row.poisoned,
        "The model alone, with both texts": row.alone,
    }
    body = (
        f"<p>{escape(row.question)} Accepted: {escape(' | '.join(row.accepted))}</p>"
        f"<p>The poisoned document:</p><blockquote>{escape(row.text)}</blockquote>"
        + "".join(_reply(title, reply) for title, reply in replies.items())
    )
    return _details(f"{row.kind}, {language_name(row.language)}: {harmed}", body)


def _reply(title: str, reply: Reply) -> str:
    facts = [reply.mode or "", "right" if reply.right else "not right", *reply.harms]
    head = f"{title} ({', '.join(fact for fact in facts if fact)}):"
    return f"<p>{escape(head)}</p><blockquote>{escape(reply.error or reply.answer)}</blockquote>"


def _details(head: str, body: str) -> str:
    return f"<details><summary>{escape(head)}</summary>{body}</details>"
