"""The served page without a browser: its one endpoint, its store, its rules."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from page import Served, answers, apart, serving
from PIL import Image

from app.conversation import Ask, Said
from app.panel import decoding_of
from app.room import LONGEST_QUESTION, Room, checked, prompt_note
from app.store import Store, lost
from rft import zoo
from rft.engine import Engine
from rft.errors import DiskError, InputError
from rft.scenes import make
from rft.types import Decoding

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("chats")) as served:
        yield served


@pytest.fixture(scope="module")
def client(studio: Served) -> Client:
    return Client(studio.url, verbose=False)


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    image = make("counting", "id", 1).images[0]
    assert isinstance(image, Image.Image)
    image.save(path)
    return path


@pytest.fixture
def room(tmp_path: Path) -> Room:
    return Room(Store(tmp_path / "chats"))


@pytest.fixture
def card(tiny: Path) -> zoo.Card:
    return zoo.card_for(str(tiny))


# --- the process ---------------------------------------------------------------------------


def test_importing_the_page_does_not_import_torch() -> None:
    code = "import sys, app.ui; app.ui.build(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stdout + done.stderr


def test_app_py_serves_on_the_port_it_is_told() -> None:
    with apart() as url:
        assert answers(url)


# --- the endpoint --------------------------------------------------------------------------


def test_only_chat_is_open_to_programs(client: Client) -> None:
    endpoints = client.view_api(return_format="dict")["named_endpoints"]
    assert list(endpoints) == ["/chat"]
    parameters = [item["parameter_name"] for item in endpoints["/chat"]["parameters"]]
    assert parameters[:5] == ["question", "images", "checkpoint", "task", "answer_kind"]


def test_chat_streams_and_ends_with_numbers(client: Client, scene: Path, tiny: Path) -> None:
    job = client.submit(
        question="How many objects are there?",
        images=[handle_file(scene)],
        checkpoint=str(tiny),
        task="counting",
        max_tokens=24,
        api_name="/chat",
    )
    last = job.result(timeout=120)
    seen = job.outputs()
    assert last["status"] in ("done", "cut") and 1 <= last["stats"]["tokens"] <= 24
    assert last["stats"]["first_token_seconds"] > 0
    assert len(seen) >= 2 and seen[-1] == last
    texts = [item["text"] for item in seen]
    assert all(later.startswith(earlier) for earlier, later in pairwise(texts))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"question": " \n\x00"}, "Type a question"),
        ({"question": "x" * 100_000}, f"up to {LONGEST_QUESTION:,}"),
        ({"checkpoint": "no/such/folder/at/all"}, "no Hub id"),
        ({"checkpoint": "Qwen/Qwen2-VL-2B-Instruct"}, "not on this machine"),
    ],
)
def test_chat_refuses_with_a_sentence(
    client: Client, tiny: Path, change: dict[str, str], words: str
) -> None:
    asked = {"question": "How many?", "checkpoint": str(tiny), **change}
    with pytest.raises(Exception, match=words):
        client.predict(**asked, api_name="/chat")


def test_chat_refuses_what_is_no_image(client: Client, tiny: Path, tmp_path: Path) -> None:
    fake = tmp_path / "fake.png"
    fake.write_text("not an image")
    with pytest.raises(Exception, match="text"):
        client.predict(
            question="How many?",
            images=[handle_file(fake)],
            checkpoint=str(tiny),
            api_name="/chat",
        )


def test_chat_reads_no_file_that_was_not_uploaded(studio: Served, tiny: Path, scene: Path) -> None:
    """A path on the server is no key to the file that lies there."""
    for path in ("/etc/passwd", str(scene)):
        stolen = {"path": path, "meta": {"_type": "gradio.FileData"}}
        assert _called(studio.url, ["How many?", [stolen], str(tiny)]).startswith("event: error")


def _called(url: str, data: list[object]) -> str:
    """The end of what the endpoint answers to a bare HTTP client."""
    rest = ["free", "auto", 0.1, 0.9, 50, 16, 100, None]
    body = json.dumps({"data": [*data, *rest]}).encode()
    headers = {"Content-Type": "application/json"}
    address = f"{url}gradio_api/call/chat"
    with urllib.request.urlopen(urllib.request.Request(address, body, headers)) as answer:
        event = json.load(answer)["event_id"]
    with urllib.request.urlopen(f"{address}/{event}", timeout=60) as answer:
        return answer.read().decode().rstrip().rsplit("\n\n", 1)[-1]


# --- conversations -------------------------------------------------------------------------


def test_a_conversation_survives_and_its_id_cannot_be_made_up(room: Room) -> None:
    chat = room.store.new()
    names = room.store.keep(chat.id, [Image.new("RGB", (40, 30), "red")])
    chat = chat.asking(Ask("Q", "P", names, "counting", gold="1"), Said("<answer>1", end="eos"))
    room.store.save(chat)
    assert Store(room.store.root).load(chat.id) == chat
    for other in (None, 5, "", "../" + chat.id, chat.id + "x", "x" * 22, {"chat": chat.id}):
        assert room.store.load(other).exchanges == ()
    room.clear(chat)
    assert room.store.load(chat.id).exchanges == () and not any(room.store.root.iterdir())


def test_an_example_is_asked_of_what_was_taught_its_task(room: Room, card: zoo.Card) -> None:
    counting, spatial = zoo.card_for("tiny-counting-zero"), zoo.card_for("tiny-spatial-zero")
    assert room.fitting(counting, "spatial") == spatial
    assert room.fitting(counting, "counting") == counting == room.fitting(counting, None)
    for other in (card, zoo.card_for("tiny-base"), zoo.card_for("counting-2b-zero")):
        assert room.fitting(other, "spatial") == other, "what a visitor chose, or what knows all"


def test_a_torn_file_is_an_empty_conversation(room: Room) -> None:
    chat = room.store.new().asking(Ask("Q", "P"), Said(end="eos"))
    room.store.save(chat)
    (room.store.root / chat.id / "chat.json").write_text('{"id": "')
    assert room.store.load(chat.id).exchanges == ()


def test_old_conversations_make_room(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.KEPT", 3)
    chats = [room.store.new().asking(Ask("Q", "P"), Said(end="eos")) for _ in range(5)]
    for age, chat in enumerate(chats):
        room.store.save(chat)
        folder = room.store.root / chat.id
        os.utime(folder, (1000 + age, 1000 + age))
    assert [bool(room.store.load(chat.id).exchanges) for chat in chats[:2]] == [False, False]
    assert room.store.load(chats[4].id).exchanges


def test_large_conversations_make_room_for_the_newest(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    chats = []
    for age in range(4):
        chat = room.store.new()
        names = room.store.keep(chat.id, [_noise(age)])
        chats.append(chat.asking(Ask("Q", "P", names), Said(end="eos")))
        room.store.save(chats[-1])
        os.utime(room.store.root / chat.id, (1000 + age, 1000 + age))
    one = sum(file.stat().st_size for file in (room.store.root / chats[0].id).iterdir())
    monkeypatch.setattr("app.store.KEPT_BYTES", int(3.5 * one))
    room.store.keep(chats[1].id, [_noise(9)])  # which makes it twice as large, and the newest
    there = [bool(room.store.load(chat.id).exchanges) for chat in chats]
    assert there == [False, True, False, True]


def test_one_conversation_has_its_bound(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.store.LARGEST_BYTES", 40_000)
    chat = room.store.new()
    names = room.store.keep(chat.id, [_noise(1)])
    assert room.store.keep(chat.id, [_noise(1)]) == names, "the same image takes no more room"
    with pytest.raises(InputError, match=r"may hold 0 MB. Clear it"):
        room.store.keep(chat.id, [_noise(2)])
    assert [file.name for file in (room.store.root / chat.id).iterdir()] == list(names)


def test_images_of_dropped_questions_are_deleted(room: Room) -> None:
    chat = room.store.new()
    first = room.store.keep(chat.id, [_noise(1)])
    second = room.store.keep(chat.id, [_noise(2), _noise(1)])
    chat = chat.asking(Ask("Q", "P", first), Said(end="eos"))
    room.store.save(chat.asking(Ask("Q", "P", second), Said(end="eos")))
    assert room.store.picture(chat.id, second[0]).exists()
    folder = room.store.root / chat.id
    (folder / "chat.json.0a1b2c3d").write_text("a draft of a server that was killed")
    room.store.save(chat)
    assert {file.name for file in folder.iterdir()} == {"chat.json", *first}


@pytest.mark.parametrize(
    ("number", "words"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "can be written to")]
)
def test_a_disk_that_takes_nothing_is_told_and_left_clean(
    room: Room, card: zoo.Card, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    chat = room.ask(room.store.new(), card, "How many?", [], "counting")
    folder = room.store.root / chat.id
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def half(path: Path, data: bytes) -> int:
        with path.open("wb") as file:  # as a disk does that fills up in the middle
            file.write(data[: len(data) // 2])
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "write_bytes", half)
    seen = []
    with pytest.raises(DiskError, match=words):
        for grown in room.reply(chat, Decoding(max_new_tokens=4)):
            seen.append(grown)
    assert seen[-1].exchanges[0].said.end == "length", "what came is shown all the same"
    with pytest.raises(DiskError, match=words):
        room.store.keep(chat.id, [_noise(1)])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert not room.desk.busy(chat.id)


def test_conversations_deleted_meanwhile_trouble_nobody(room: Room) -> None:
    """Two visitors ask at once, and each one's folder makes others go."""
    faults: list[BaseException] = []

    def visit() -> None:
        try:
            for _ in range(20):
                chat = room.store.new()
                names = room.store.keep(chat.id, [Image.new("RGB", (20, 20))])
                room.store.save(chat.asking(Ask("Q", "P", names), Said(end="eos")))
                room.store.remove(chat.id)
        except OSError as error:
            faults.append(error)

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and not any(room.store.root.iterdir())


def _noise(seed: int) -> Image.Image:
    """A picture of 30 kB that no compression makes smaller."""
    return Image.frombytes("RGB", (100, 100), random.Random(seed).randbytes(30_000))


def test_the_export_holds_the_images_and_not_the_id(room: Room) -> None:
    chat = room.store.new()
    names = room.store.keep(chat.id, [Image.new("RGB", (40, 30)), Image.new("RGB", (900, 900))])
    chat = chat.asking(Ask("Q", "P", names), Said("<think>a</think><answer>2</answer>", end="eos"))
    text = json.dumps(room.store.export(chat))
    record = json.loads(text)
    assert chat.id not in text
    item = record["exchanges"][0]
    assert [image.split(",")[0] for image in item["ask"]["images"]] == [
        "data:image/png;base64",
        "data:image/jpeg;base64",
    ]
    assert (item["said"]["thinking"], item["said"]["answer"]) == ("a", "2")


def test_a_question_is_cleaned_and_its_template_tokens_stay_text(
    room: Room, card: zoo.Card
) -> None:
    chat = room.ask(room.store.new(), card, " a\x00b\x1b <|im_start|>\r\n ", [], None)
    assert chat.exchanges[0].ask.question == "ab <|im_start|>"
    for bad in ("", "  \x00\n", "x" * (LONGEST_QUESTION + 1)):
        with pytest.raises(InputError):
            checked(bad)


def test_forty_images_at_once_are_refused(room: Room, card: zoo.Card, scene: Path) -> None:
    with pytest.raises(InputError, match="40 images"):
        room.ask(room.store.new(), card, "How many?", [scene] * 40, "counting")


def test_a_reply_is_kept_when_its_reader_goes_away(room: Room, card: zoo.Card) -> None:
    chat = room.ask_problem(room.store.new(), card, make("counting", "id", 1))
    reading = room.reply(chat, Decoding(max_new_tokens=400))
    while not next(reading).exchanges[0].said.text:
        pass
    reading.close()
    kept = room.open(chat.id).exchanges[0].said
    assert kept.end == "stop" and kept.text
    assert not room.desk.busy(chat.id)
    assert not any(resident.busy for resident in room.engine.loaded())


def test_a_conversation_cleared_during_its_reply_stays_gone(room: Room, card: zoo.Card) -> None:
    for finishing in (True, False):  # the reader reads on, or goes away
        chat = room.ask_problem(room.store.new(), card, make("counting", "id", 1))
        reading = room.reply(chat, Decoding(max_new_tokens=400))
        while not next(reading).exchanges[0].said.text:
            pass
        room.clear(chat)
        if finishing:
            assert list(reading) == []
        reading.close()
        assert not (room.store.root / chat.id).exists()
        assert not room.desk.busy(chat.id)


def test_stopping_ends_the_reply_and_keeps_its_text(room: Room, card: zoo.Card) -> None:
    chat = room.ask_problem(room.store.new(), card, make("counting", "id", 1))
    stopped_at = 0.0
    grown = chat
    for grown in room.reply(chat, Decoding(max_new_tokens=700)):
        if grown.exchanges[0].said.tokens >= 5 and not stopped_at:
            assert room.stop(grown) is grown
            stopped_at = time.perf_counter()
    assert time.perf_counter() - stopped_at < 1.0
    said = grown.exchanges[0].said
    assert said.end == "stop" and said.text and said.tokens < 700
    assert room.open(chat.id) == grown


def test_a_question_in_the_queue_is_busy_until_it_is_stopped(room: Room, card: zoo.Card) -> None:
    chat = room.ask(room.store.new(), card, "How many?", [], "counting", owner="first tab")
    assert room.open(chat.id).exchanges[0].said.end == "waiting"
    for owner in ("first tab", "second tab"):
        with pytest.raises(InputError, match="still being written"):
            room.again(room.open(chat.id), card, owner=owner)
    assert room.stop(room.open(chat.id)).exchanges[0].said.end == "stop"
    assert list(room.reply(chat, Decoding(), owner="first tab")) == [room.open(chat.id)]
    room.again(room.open(chat.id), card, owner="second tab")


def test_a_question_of_a_dead_tab_gives_way_and_its_reply_is_not_mistaken(
    room: Room, card: zoo.Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat = room.ask(room.store.new(), card, "How many cubes?", [], "counting", owner="first tab")
    monkeypatch.setattr("app.writing.SILENCE_S", 0.0)
    with room.desk.guest():
        assert room.desk.busy(chat.id), "while others are replied to, its turn may still come"
    opened = room.open(chat.id)
    assert opened.exchanges[0].said.end == "lost"
    room.ask(opened, card, "How many spheres?", [], "counting", owner="second tab")
    monkeypatch.setattr("app.writing.SILENCE_S", 60.0)
    (late,) = room.reply(chat, Decoding(max_new_tokens=4), owner="first tab")
    assert late == room.open(chat.id) and late.exchanges[1].said.end == "waiting"
    (*_, done) = room.reply(chat, Decoding(max_new_tokens=4), owner="second tab")
    assert [item.said.end for item in done.exchanges] == ["lost", "length"]
    assert not room.desk.busy(chat.id)


def test_a_question_that_is_refused_holds_no_place(room: Room, card: zoo.Card) -> None:
    chat = room.store.new()
    with pytest.raises(InputError, match="no question"):
        room.again(chat, card)
    with pytest.raises(InputError, match="no longer"):
        room.edit(chat, card, 3, "x")
    assert not room.desk.busy(chat.id)


def test_asking_again_and_otherwise(room: Room, card: zoo.Card) -> None:
    problem = make("counting", "id", 1)
    chat = room.stop(room.ask_problem(room.store.new(), card, problem))
    chat = room.stop(room.ask(chat, card, "And red ones?", [], "counting"))
    again = room.stop(room.again(chat, card))
    assert [item.ask.question for item in again.exchanges] == [problem.question, "And red ones?"]
    other = room.stop(room.edit(again, card, 0, "How many cubes?"))
    assert len(other.exchanges) == 1 and other.exchanges[0].ask.gold is None
    assert other.exchanges[0].ask.images == chat.exchanges[0].ask.images
    assert "How many cubes? Output" in other.exchanges[0].ask.prompt
    same = room.stop(room.edit(other, card, 0, "How many cubes?"))
    assert same.exchanges[0].ask == other.exchanges[0].ask


def test_a_tiny_checkpoint_is_asked_each_question_by_itself(
    room: Room, card: zoo.Card, scene: Path
) -> None:
    """Taught no conversation, it would go on with the colours of the question before."""
    large = zoo.card_for("counting-2b-rft")
    assert card.tiny and not large.tiny
    chat = room.stop(room.ask(room.store.new(), card, "How many red ones?", [scene], "counting"))
    chat = room.stop(room.ask(chat, card, "And blue ones?", [], "counting"))
    first, last = (exchange.ask for exchange in chat.exchanges)
    assert last.anew and not first.anew and last.images == first.images
    (turn,) = chat.turns(Path)
    assert "blue" in turn.text and "red" not in turn.text and len(turn.images) == 1
    chat = room.store.new()
    for question, files in (("How many red ones?", [scene]), ("And blue ones?", [])):
        chat = chat.asking(Ask(question, question, tuple(map(str, files)), "counting"), Said("2"))
    assert not room.stop(room.again(chat, card)).exchanges[0].ask.anew
    assert room.stop(room.again(chat, card)).exchanges[1].ask.anew


def test_a_fault_ends_the_reply_with_its_sentence(tmp_path: Path, card: zoo.Card) -> None:
    room = Room(Store(tmp_path / "chats"), engine=Engine(budget_bytes=1000))
    chat = room.ask_problem(room.store.new(), card, make("counting", "id", 1))
    (*_, chat) = room.reply(chat, Decoding())
    said = chat.exchanges[0].said
    assert said.end == "error" and "the Studio may fill 0 MB" in said.note
    assert room.open(chat.id) == chat


def test_a_bug_ends_the_reply_and_surfaces(room: Room, card: zoo.Card) -> None:
    chat = room.ask_problem(room.store.new(), card, make("counting", "id", 1))
    seen = []
    with pytest.raises((RuntimeError, OverflowError, ValueError)):
        for grown in room.reply(chat, Decoding(seed=2**80)):  # decoding_of lets none such pass
            seen.append(grown)
    assert seen[-1].exchanges[0].said.end == "error" and seen[-1].exchanges[0].said.note
    assert room.open(chat.id) == seen[-1] and not room.desk.busy(chat.id)


def test_decoding_is_forced_into_its_limits() -> None:
    assert decoding_of(None, None, float("nan"), None, None, None) == Decoding()
    low = decoding_of(-1, 0, -5, 0, 0, -3)
    assert low == Decoding(0.0, 0.05, 0, 16, 20_000, 0)
    high = decoding_of(99, 9, 1e9, 1e9, float("inf"), 1e300)
    assert high == Decoding(2.0, 1.0, 200, 2048, 1_000_000, 2**63 - 1)
    assert decoding_of(0.5, 0.9, 50, 64, 100, 7).seed == 7


def test_two_conversations_do_not_mix(room: Room, card: zoo.Card) -> None:
    problems = [make("counting", "id", seed) for seed in (1, 2)]
    chats = [room.ask_problem(room.store.new(), card, problem) for problem in problems]

    def answer(index: int) -> None:
        (*_, chats[index]) = room.reply(chats[index], Decoding(max_new_tokens=12))

    threads = [threading.Thread(target=answer, args=(index,)) for index in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    for chat, problem in zip(chats, problems, strict=True):
        assert room.open(chat.id).exchanges[0].ask.question == problem.question
        assert room.open(chat.id).exchanges[0].said.end in ("eos", "length")


def test_a_zoo_file_of_ones_own_adds_cards(tmp_path: Path, tiny: Path) -> None:
    file = tmp_path / "zoo.toml"
    file.write_text(f'[[card]]\nid = "mine"\ntitle = "My own"\nwhere = "{tiny}"\n')
    room = Room(Store(tmp_path / "chats"), file)
    assert room.card("mine").title == "My own"
    assert "mine" in [card.id for card in room.cards()]
    assert room.card(None).bundled and room.card("gone long ago", or_first=True).bundled
    with pytest.raises(InputError, match="gone long ago"):
        room.card("gone long ago")


def test_a_reply_by_a_checkpoint_that_has_gone_ends_with_its_sentence(
    room: Room, card: zoo.Card
) -> None:
    chat = room.ask(room.store.new(), card, "How many?", [], "counting")
    said = chat.exchanges[0].said
    chat = chat.replying(replace(said, card="gone long ago"))
    room.store.save(chat)
    (grown,) = room.reply(chat, Decoding())
    assert grown.exchanges[0].said.end == "error"
    assert "gone long ago" in grown.exchanges[0].said.note


def test_the_preview_tells_whether_the_prompt_file_is_the_trained_one(
    tmp_path: Path, card: zoo.Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("Transform it.")
    own = replace(card, prompt_file=str(file))
    assert prompt_note(card, "spatial") == prompt_note(own, None) == ""
    assert "not the text" in prompt_note(own, "spatial")
    digest = hashlib.sha256(b"Transform it.").hexdigest()
    monkeypatch.setattr("rft.tasks.TRAINED_INSTRUCTION_SHA256", digest)
    assert "letter by letter" in prompt_note(own, "spatial")


def test_a_lost_reply_is_marked_and_others_are_left() -> None:
    chat = Store(Path("x")).new().asking(Ask("Q", "P"), Said("half"))
    assert lost(chat).exchanges[0].said == replace(Said("half"), end="lost")
    done = chat.replying(Said("whole", end="eos"))
    assert lost(done) is done
