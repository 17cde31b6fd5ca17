"""Evaluations on their way to Langfuse, over real HTTP: datasets, experiments and scores, and what goes wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from langfuse import Evaluation, Langfuse
from opentelemetry.sdk.trace import TracerProvider

from answerbox.adapters.langfuse_experiments import LangfuseExperiments
from answerbox.adapters.trace_spans import SpanMaker
from answerbox.errors import SetupError, Unavailable
from answerbox.evaluation.experiment import Experiment, Kept, Tried, experiments
from tests.live import free_port
from tests.otlp_receiver import Receiver, Span, otlp_receiver
from tests.unit.evaluation.kit import tiny_result

SECRET = "sk-lf-very-secret"
TIMEOUT_S = 5.0
"""Longer than a busy machine needs."""
DATASETS, ITEMS, SCORES = "/api/public/v2/datasets", "/api/public/dataset-items", "/api/public/scores"
SPANS = "/api/public/otel"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with otlp_receiver() as made:
        yield made


@pytest.fixture
def english() -> Experiment:
    """Three questions: one answered, one answered wrongly, one that the documents do not tell and that was refused."""
    found = tiny_result()
    rows = [replace(row, trace_id=f"{number + 1:032x}") for number, row in enumerate(found.answers)]
    return experiments(replace(found, answers=rows), "tiny", "double 12:00")[0]


def keep(url: str, *wanted: Experiment, content: bool = True, timeout_s: float = TIMEOUT_S) -> list[Kept]:
    async def kept() -> list[Kept]:
        keeper = LangfuseExperiments(url, ("pk-lf-1", SECRET), SpanMaker("test"), content=content, timeout_s=timeout_s)
        try:
            return [await keeper.keep(one) for one in wanted]
        finally:
            await keeper.close()

    found = asyncio.run(kept())
    assert not [failure for one in found for failure in one.failures if SECRET in failure]
    return found


def check(url: str) -> None:
    async def checked() -> None:
        keeper = LangfuseExperiments(url, ("pk-lf-1", SECRET), SpanMaker("test"), timeout_s=TIMEOUT_S)
        try:
            await keeper.check()
        finally:
            await keeper.close()

    asyncio.run(checked())


def posts(receiver: Receiver, path: str) -> int:
    return sum(request.method == "POST" and request.path.startswith(path) for request in receiver.requests)


def counts(kept: Kept) -> tuple[int, int, int, int]:
    return kept.items, kept.added, kept.answers, kept.scores


def attribute(span: Span, name: str) -> Any:
    return span.attributes[f"langfuse.{name}"]


def scores(receiver: Receiver, tried: Tried) -> dict[str, float]:
    found = [score for score in receiver.taken_scores if score["traceId"] == tried.trace_id]
    assert {score["observationId"] for score in found} == {tried.span_id}
    return {score["name"]: score["value"] for score in found}


def test_questions_become_items_with_what_is_expected(receiver: Receiver, english: Experiment) -> None:
    [kept] = keep(receiver.url, english)
    assert (counts(kept), kept.failures) == ((3, 3, 3, 19), [])
    zebra, _, king = receiver.datasets.of("tiny-en")
    assert zebra["input"] == {"question": "What does the zebra wear?"}
    assert zebra["expectedOutput"] == {"answers": ["stripes"]}
    assert zebra["metadata"] == {
        "language": "en",
        "answerable": True,
        "question_id": "q1",
        "document_id": "eval/en/zebra",
    }
    assert king["expectedOutput"] == {"refused": True}
    assert king["metadata"] == {"language": "en", "answerable": False, "question_id": "u1"}


def test_a_second_run_adds_an_experiment_and_no_question(receiver: Receiver, english: Experiment) -> None:
    other = replace(english, name="other 12:30", tries=[replace(one, trace_id="f" * 32) for one in english.tries])
    first, second = keep(receiver.url, english, other)
    assert (counts(first), counts(second)) == ((3, 3, 3, 19), (3, 0, 3, 19))
    assert len(receiver.datasets.items) == posts(receiver, ITEMS) == 3
    assert posts(receiver, DATASETS) == 1
    runs = {attribute(span, "experiment.name"): attribute(span, "experiment.id") for span in receiver.spans}
    assert len(set(runs.values())) == 2
    items = [
        {attribute(span, "experiment.item.id") for span in receiver.spans if attribute(span, "experiment.name") == name}
        for name in runs
    ]
    assert items[0] == items[1] == set(receiver.datasets.items)
    assert {attribute(span, "experiment.dataset.id") for span in receiver.spans} == {"dataset-1"}


def test_a_run_that_is_kept_twice_is_there_once(receiver: Receiver, english: Experiment) -> None:
    keep(receiver.url, english, english)
    assert len({span.span_id for span in receiver.spans}) == 3
    assert len({attribute(span, "experiment.id") for span in receiver.spans}) == 1
    assert len({(score["id"], score["timestamp"]) for score in receiver.taken_scores}) == 19


def test_a_changed_answer_is_changed_there_and_the_dataset_of_others_stays(
    receiver: Receiver, english: Experiment
) -> None:
    receiver.datasets.posted(DATASETS, {"name": "tiny-en", "description": "Ours."})
    keep(receiver.url, english)
    first, *rest = english.tries
    changed = replace(first, item=replace(first.item, accepted=["black stripes"]))
    [kept] = keep(receiver.url, replace(english, tries=[changed, *rest]))
    assert counts(kept)[:2] == (3, 1)
    assert receiver.datasets.of("tiny-en")[0]["expectedOutput"] == {"answers": ["black stripes"]}
    assert receiver.datasets.sets["tiny-en"]["description"] == "Ours."


def test_more_questions_than_a_page_are_known_again(receiver: Receiver, english: Experiment) -> None:
    item = english.tries[0].item
    many = [
        replace(english.tries[0], item=replace(item, question=f"Question {number}?"), trace_id=f"{number + 1:032x}")
        for number in range(130)
    ]
    wanted = replace(english, tries=many)
    first, second = keep(receiver.url, wanted, wanted)
    assert (counts(first)[:3], counts(second)[:3]) == ((130, 130, 130), (130, 0, 130))
    assert first.scores == 130 * len(many[0].scores)


def test_each_answer_is_linked_to_its_trace_and_its_question(receiver: Receiver, english: Experiment) -> None:
    [kept] = keep(receiver.url, english)
    by_question = {item["metadata"]["question_id"]: id_ for id_, item in receiver.datasets.items.items()}
    roots = receiver.traces()
    for tried in english.tries:
        [span] = roots[tried.trace_id]
        assert (span.span_id, span.parent_id) == (tried.span_id, "")
        assert attribute(span, "experiment.item.root_observation_id") == span.span_id
        assert attribute(span, "experiment.item.id") == by_question[tried.item.question_id]
        assert json.loads(attribute(span, "observation.input")) == {"question": tried.item.question}
        assert attribute(span, "observation.output") == tried.answer
        assert span.start_ns == int(tried.asked_at * 1e9)
        assert abs(span.end_ns - span.start_ns - tried.took_ms * 1e6) < 1000
    [zebra] = roots[english.tries[0].trace_id]
    assert json.loads(attribute(zebra, "experiment.item.expected_output")) == {"answers": ["stripes"]}
    about = json.loads(attribute(zebra, "experiment.metadata"))
    assert (about["generator"], about["version"]) == ("double", "1")
    assert attribute(zebra, "environment") == "test"
    id_ = attribute(zebra, "experiment.id")
    assert kept.url == f"{receiver.url}/project/project-1/experiments/results?baseline={id_}"


def test_all_of_it_is_as_langfuses_own_sdk_sends_it(receiver: Receiver, english: Experiment) -> None:
    wanted = replace(english, name="модель 12:00", tries=english.tries[:1])
    keep(receiver.url, wanted)
    [ours], [scored] = receiver.spans, [score for score in receiver.taken_scores if score["name"] == "f1"]
    told = len(receiver.taken_scores)
    run_by_sdk(receiver.url, wanted)
    [theirs] = [span for span in receiver.spans if span.name == "experiment-item-task"]
    assert in_experiment(ours) == in_experiment(theirs)
    for span in (ours, theirs):
        assert attribute(span, "experiment.item.root_observation_id") == span.span_id
        assert json.loads(attribute(span, "observation.input")) == {"question": english.tries[0].item.question}
        assert attribute(span, "observation.output") == english.tries[0].answer
    [score] = receiver.taken_scores[told:]
    assert (score["traceId"], score["observationId"]) == (theirs.trace_id, theirs.span_id)
    assert score.keys() <= scored.keys()


def run_by_sdk(url: str, wanted: Experiment) -> None:
    """The same answers to the dataset that is there."""
    langfuse = Langfuse(
        public_key="pk-lf-sdk", secret_key=SECRET, base_url=url, tracer_provider=TracerProvider(shutdown_on_exit=False)
    )
    try:
        langfuse.get_dataset(wanted.dataset).run_experiment(
            name="any",
            run_name=wanted.name,
            description=wanted.description,
            metadata=wanted.about,
            task=lambda **_: wanted.tries[0].answer,
            evaluators=[lambda **_: Evaluation(name="f1", value=0.4)],
        )
    finally:
        langfuse.shutdown()


def in_experiment(span: Span) -> dict[str, Any]:
    """What says to which experiment and item it belongs, without its own id; JSON as what it means."""
    prefix, own = "langfuse.experiment.", "langfuse.experiment.item.root_observation_id"
    found = {name: value for name, value in span.attributes.items() if name.startswith(prefix) and name != own}
    return {name: json.loads(value) if value.startswith("{") else value for name, value in found.items()}


def test_scores_say_what_the_report_says(receiver: Receiver, english: Experiment) -> None:
    keep(receiver.url, english)
    zebra, okapi, king = (scores(receiver, tried) for tried in english.tries)
    for found in (zebra, okapi, king):
        assert found.pop("latency_ms") >= 0
    assert zebra.pop("f1") == pytest.approx(0.4)
    assert zebra == {
        "contains": 1,
        "exact_match": 0,
        "right_source": 1,
        "refusal_right": 1,
        "quotes_verbatim": 1,
        "hit_at_1": 1,
        "reciprocal_rank": 1,
    }
    assert (okapi["contains"], okapi["right_source"], okapi["reciprocal_rank"]) == (0, 1, 0.5)
    assert king == {"refusal_right": 1}
    types = {score["name"]: score["dataType"] for score in receiver.taken_scores}
    assert (types["contains"], types["f1"], types["latency_ms"]) == ("BOOLEAN", "NUMERIC", "NUMERIC")


def test_a_question_that_failed_is_an_error_and_a_miss(receiver: Receiver, english: Experiment) -> None:
    failed = replace(english.tries[0], error="overloaded", answer="", scores=[])
    keep(receiver.url, replace(english, tries=[failed]))
    [span] = receiver.spans
    assert (span.status, attribute(span, "observation.level")) == ((2, "overloaded"), "ERROR")


def test_what_must_not_leave_is_masked_and_cut(receiver: Receiver, english: Experiment) -> None:
    item = replace(english.tries[0].item, question="Who is ada@example.org?", accepted=["ada@example.org"])
    tried = replace(english.tries[0], item=item, answer="She is ada@example.org. " + "x" * 9_000)
    keep(receiver.url, replace(english, tries=[tried]))
    sent = json.dumps([request.body for request in receiver.requests]) + str(receiver.spans)
    assert "ada@example.org" not in sent
    assert receiver.datasets.of("tiny-en")[0]["input"] == {"question": "Who is [e-mail]?"}
    [span] = receiver.spans
    assert attribute(span, "observation.output").startswith("She is [e-mail].")
    assert len(attribute(span, "observation.output")) == 8_000


def test_without_contents_no_text_is_sent_and_those_that_are_there_stay(
    receiver: Receiver, english: Experiment
) -> None:
    [kept] = keep(receiver.url, english, content=False)
    assert counts(kept) == (3, 3, 3, 19)
    sent = json.dumps([request.body for request in receiver.requests]) + str(receiver.spans)
    assert not [word for word in ("stripes", "zebra wear", "king", "Africa") if word in sent]
    assert receiver.datasets.of("tiny-en")[0]["input"] == {"question_id": "q1"}
    assert keep(receiver.url, english)[0].added == 3
    assert keep(receiver.url, english, content=False)[0].added == 0
    assert receiver.datasets.of("tiny-en")[0]["input"] == {"question": "What does the zebra wear?"}


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("status:401", "HTTP 401. Check LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY."),
        ("status:403", "HTTP 403. Check LANGFUSE_PUBLIC_KEY"),
        ("status:302", "HTTP 302. Check LANGFUSE_BASE_URL"),
        ("status:500", "HTTP 500."),
        ("hang", "did not answer within 0.5 s"),
        ("retryafter:0", "HTTP 429. It takes no more just now."),
        ("retryafter:3600", "It asks to wait 3600 s."),
    ],
)
@pytest.mark.parametrize("where", [DATASETS, ITEMS, SPANS, SCORES])
def test_a_failure_is_told_and_what_came_before_it_counts(
    receiver: Receiver, english: Experiment, where: str, mode: str, words: str
) -> None:
    receiver.modes = {where: mode}
    began = time.monotonic()
    [kept] = keep(receiver.url, english, timeout_s=0.5 if mode == "hang" else TIMEOUT_S)
    assert time.monotonic() - began < 20
    done = {DATASETS: (0, 0, 0, 0), ITEMS: (0, 0, 0, 0), SPANS: (3, 3, 0, 0), SCORES: (3, 3, 3, 0)}[where]
    assert counts(kept) == done
    [failure] = kept.failures
    if (where, mode) == (SPANS, "hang"):
        words = "took no answers: timeout"
    assert words in failure
    tries = sum(request.path.startswith(where) for request in receiver.requests)
    if mode not in ("status:500", "hang", "retryafter:0"):
        assert tries == 1, "it would be the same again"
    elif where == SPANS:
        assert 3 <= tries <= 3 * 6, "the exporter repeats by itself, within its time"
    else:
        assert tries == 3


def test_what_passes_is_waited_for(receiver: Receiver, english: Experiment) -> None:
    receiver.first = ["status:503", "retryafter:1", "ok", "status:500"]
    began = time.monotonic()
    [kept] = keep(receiver.url, english)
    assert (counts(kept), kept.failures) == ((3, 3, 3, 19), [])
    assert time.monotonic() - began >= 1


def test_a_question_that_is_refused_costs_the_others_nothing(receiver: Receiver, english: Experiment) -> None:
    receiver.datasets.refused = {"okapi"}
    [kept] = keep(receiver.url, english)
    assert counts(kept) == (2, 2, 2, 11)
    assert kept.failures == ["The question q2: Langfuse refused it with HTTP 400: Item does not match the schema."]
    assert english.tries[1].trace_id not in receiver.traces()


def test_rejected_scores_are_told(receiver: Receiver, english: Experiment) -> None:
    receiver.modes = {SCORES: "rejected"}
    [kept] = keep(receiver.url, english)
    assert (kept.scores, kept.failures) == (18, ["Langfuse rejected 1 scores: test."])


def test_where_nothing_listens_that_is_said(english: Experiment) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    [kept] = keep(url, english)
    assert kept.failures == ["Langfuse cannot be reached (ConnectError). LANGFUSE_BASE_URL is its address."]
    with pytest.raises(Unavailable):
        check(url)


def test_an_address_that_is_none_is_named() -> None:
    with pytest.raises(Unavailable, match=r"InvalidURL.*LANGFUSE_BASE_URL"):
        check("http://langfuse:port")


def test_another_server_is_no_langfuse(receiver: Receiver, english: Experiment) -> None:
    [kept] = keep(receiver.url + "/elsewhere", english)
    assert kept.failures == [
        "Langfuse answered HTTP 404. Check LANGFUSE_BASE_URL: there must be a Langfuse of v4.59 or newer."
    ]


def test_keys_and_address_are_checked(receiver: Receiver) -> None:
    check(receiver.url)
    receiver.mode = "status:401"
    with pytest.raises(SetupError, match="HTTP 401"):
        check(receiver.url)
    assert len(receiver.requests) == 2
