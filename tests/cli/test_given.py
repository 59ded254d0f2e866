"""Pictures that were not made here: matched with prompts, scored as a row, compared, refused where they do not fit."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import zz
import zz.run
import zz.table
from zz.data.gallery import gallery
from zz.lab.results import Results
from zz.lab.store.manifest import find
from zz.lab.store.store import Store

SCORE = __import__("zz.score", fromlist=["main"])
TEXTS = ["a photo of a red circle", "a photo of a blue square", "a photo of a green triangle"]
SCORERS = "scorers=[cleanliness,shapes_correct]"


def picture(path: Path, level: int, mode: str = "RGB", suffix_format: str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full((32, 32, 3), level, np.uint8)
    pixels[8:24, 8:24] = (level * 7) % 256
    Image.fromarray(pixels).convert(mode).save(path, suffix_format)


@pytest.fixture
def folder(tmp_path):
    for i in range(3):
        picture(tmp_path / "pics" / f"{i}.png", 50 * i)
    (tmp_path / "prompts.txt").write_text("\n".join(TEXTS))
    return tmp_path


def test_prompts_in_order(folder):
    found = gallery(str(folder / "pics"), str(folder / "prompts.txt"))
    assert [p.text for p in found.prompts.entries] == TEXTS
    assert [Path(p).name for p in found.paths if p] == ["0.png", "1.png", "2.png"]
    assert found.prompts.repeats == 1 and not found.seeded


def test_several_pictures_a_prompt_and_numbers_from_1(folder):
    for i in range(3):
        (folder / "pics" / f"{i}.png").unlink()
        for k in range(2):
            picture(folder / "pics" / f"{i + 1:05d}_{k}.jpg", 10 * i + k)
    found = gallery(str(folder / "pics"), str(folder / "prompts.txt"))
    assert found.prompts.repeats == 2
    assert [Path(p).name for p in found.paths if p][::3] == ["00001_0.jpg", "00001_1.jpg"]
    assert "numbered from 1" in found.remarks[0]


def test_a_table_that_names_files_and_seeds(folder):
    rows = ["file,prompt,tag,n"] + [f"{2 - i}.png,{TEXTS[i]},t{i},{40 + i}" for i in range(3)]
    (folder / "prompts.csv").write_text("\n".join(rows))
    found = gallery(str(folder / "pics"), str(folder / "prompts.csv"), seeds="n")
    assert [Path(p).name for p in found.paths if p] == ["2.png", "1.png", "0.png"]
    assert [p.seed for p in found.prompts.entries] == [40, 41, 42] and found.seeded
    assert [p.meta for p in found.prompts.entries] == [{"tag": f"t{i}"} for i in range(3)]


def test_the_folder_s_own_record(folder):
    lines = [json.dumps({"file_name": f"{i}", "text": text}) for i, text in enumerate(TEXTS)]
    (folder / "pics" / "metadata.jsonl").write_text("\n".join(lines))
    assert [p.text for p in gallery(str(folder / "pics")).prompts.entries] == TEXTS


def test_geneval_s_layout(tmp_path):
    for i, text in enumerate(TEXTS):
        record = {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": text}
        for k in range(4):
            picture(tmp_path / f"{i:05d}" / "samples" / f"{k:04d}.png", 60 * i + k)
        (tmp_path / f"{i:05d}" / "metadata.jsonl").write_text(json.dumps(record))
    found = gallery(str(tmp_path))
    assert found.prompts.repeats == 4 and len(found.paths) == 12
    assert found.prompts.entries[1].meta["tag"] == "single_object"
    assert found.paths[0].endswith("00000/samples/0000.png") and found.paths[3].endswith("00000/samples/0001.png")


def test_own_names_are_known_by_their_text(tmp_path, folder):
    from zz.data.base import picture_name

    for i in range(3):
        (folder / "pics" / f"{i}.png").rename(folder / "pics" / f"{picture_name(TEXTS[2 - i], 17)}.png")
    found = gallery(str(folder / "pics"), str(folder / "prompts.txt"))
    assert [Path(p).name[7:19] for p in found.paths if p] == [picture_name(t, 0)[7:] for t in TEXTS]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda f: (f / "pics" / "1.png").unlink(), r"1 of 3 prompts have no picture: 'a photo of a blue square'"),
        (lambda f: picture(f / "pics" / "7.png", 9), r"1 of 4 pictures are of no prompt: 7.png"),
        (lambda f: picture(f / "pics" / "cat.png", 9), r"picture cat.png has no number in its name"),
        (lambda f: (f / "prompts.txt").write_text("\n\n"), r"prompts=.* holds no prompts"),
        (lambda f: (f / "prompts.txt").unlink(), r"prompts.txt"),
    ],
)
def test_what_does_not_match_is_named(folder, change, said):
    change(folder)
    with pytest.raises(ValueError, match=said):
        gallery(str(folder / "pics"), str(folder / "prompts.txt"))


def test_other_refusals(folder):
    with pytest.raises(ValueError, match="is no folder that is there"):
        gallery(str(folder / "none"))
    with pytest.raises(ValueError, match=r"prompts=null, and .* has no metadata.jsonl"):
        gallery(str(folder / "pics"))
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no picture"):
        gallery(str(folder / "empty"))
    (folder / "p.csv").write_text("file,prompt\nx.png,hello\n")
    with pytest.raises(ValueError, match=r"prompts=.*names the picture 'x.png', which is not in"):
        gallery(str(folder / "pics"), str(folder / "p.csv"))
    (folder / "p.csv").write_text("file,words\n0.png,hello\n")
    with pytest.raises(ValueError, match=r"^prompts=.*has no column prompt.*column="):
        gallery(str(folder / "pics"), str(folder / "p.csv"))
    with pytest.raises(ValueError, match="seeds=s is no column"):
        (folder / "p.csv").write_text("file,prompt\n0.png,hello\n")
        gallery(str(folder / "pics"), str(folder / "p.csv"), seeds="s")


def test_a_folder_is_a_row_and_a_changed_file_is_scored_anew(folder, cli):
    store = Store(folder / "store")
    words = [f"images={folder / 'pics'}", f"prompts={folder / 'prompts.txt'}", "name=mine", f"store={store.root}"]
    code, out, err = cli(*words, SCORERS, command=SCORE)
    assert (code, err) == (0, ""), out
    row = find(store, "mine").rows[0]
    before = Results(store, find(store, "mine")).scores(row, "cleanliness")
    assert set(before) == {0, 1, 2}
    parts = {p: p.stat().st_mtime_ns for p in store.root.glob("cells/*/scores/*/*.json")}
    assert cli(*words, SCORERS, command=SCORE)[0] == 0
    assert {p: p.stat().st_mtime_ns for p in store.root.glob("cells/*/scores/*/*.json")} == parts  # nothing to do
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(folder / "pics" / "1.png")
    assert cli(*words, SCORERS, command=SCORE)[0] == 0
    after = Results(store, find(store, "mine")).scores(find(store, "mine").rows[0], "cleanliness")
    assert after[0] == before[0] and after[2] == before[2] and after[1] != before[1]
    assert cli("name=mine", f"store={store.root}", command=zz.table)[0] == 0


def test_kinds_of_pictures_and_one_that_cannot_be_read(folder, cli):
    picture(folder / "pics" / "0.png", 50, "RGBA")
    picture(folder / "pics" / "1.png", 50, "P")
    (folder / "pics" / "2.png").write_bytes(b"no picture")
    words = [f"images={folder / 'pics'}", f"prompts={folder / 'prompts.txt'}", "name=mine", f"store={folder / 'store'}"]
    code, out, err = cli(*words, "scorers=[cleanliness]", command=SCORE)
    assert code == 1 and "cannot be read as a picture" in out + err
    store = Store(folder / "store")
    assert len(Results(store, find(store, "mine")).scores(find(store, "mine").rows[0], "cleanliness")) == 2


def test_pairs_with_a_run_by_prompt_and_by_seed(tmp_path, cli):
    store = Store(tmp_path / "store")
    (tmp_path / "prompts.txt").write_text("\n".join(TEXTS))
    made = [
        "model=mixture",
        "steps=2",
        "dataset=text",
        f"dataset.path={tmp_path / 'prompts.txt'}",
        f"store={store.root}",
    ]
    assert cli(*made, "scorers=[cleanliness]", command=zz.run)[0] == 0
    images = sorted(store.root.glob("cells/*/images/*.png"))
    for path in images:
        (tmp_path / "pics").mkdir(exist_ok=True)
        (tmp_path / "pics" / path.name).write_bytes(path.read_bytes())
    words = [f"images={tmp_path / 'pics'}", f"prompts={tmp_path / 'prompts.txt'}", "name=theirs", f"store={store.root}"]
    code, out, err = cli(*words, "scorers=[cleanliness]", "against=run", command=SCORE)
    assert code == 0, out + err
    assert "by prompt" in out and "prompt and seed" not in out and "0/3/0" in out
    rows = [f"{p.name},{next(t for t in TEXTS if p.stem.endswith(_digest(t)))},{int(p.name[:6])}" for p in images]
    (tmp_path / "table.csv").write_text("\n".join(["file,prompt,seed", *rows]))
    words[1] = f"prompts={tmp_path / 'table.csv'}"
    code, out, err = cli(*words, "scorers=[cleanliness]", "against=run", "seeds=seed", command=SCORE)
    assert code == 0 and "by prompt and seed" in out and "0/3/0" in out
    (tmp_path / "table.csv").write_text("\n".join(["file,prompt,seed", *(f"{row}9" for row in rows)]))  # other seeds
    code, out, err = cli(*words, "scorers=[cleanliness]", "against=run", "seeds=seed", command=SCORE)
    assert code == 0 and "0/3/0" not in out


def _digest(text: str) -> str:
    from zz.data.base import picture_name

    return picture_name(text, 0)[7:]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["name=null"], "need a name"),
        (["scorers=[]"], "name what the pictures are scored by"),
        (["against=nobody"], "holds no manifest"),
        (["parity=[cleanliness]"], "must be two scorers"),
        (["parity=[cleanliness,pickscore]"], "none of the scorers asked for"),
        (["parity=[cleanliness,shapes_correct]"], "one scale"),
        (["gamma2=0,1", "-m"], "leave out what is swept over"),
    ],
)
def test_refusals_of_the_command(folder, cli, words, said):
    base = [f"images={folder / 'pics'}", f"prompts={folder / 'prompts.txt'}", "name=mine", f"store={folder / 'store'}"]
    code, out, err = cli(*base, SCORERS, *words, command=SCORE)
    assert code == 2 and said in " ".join((out + err).split())


def test_prompts_without_images(cli):
    code, out, err = cli("prompts=x.csv", command=SCORE)
    assert code == 2 and "images=FOLDER" in out + err


def test_zz_score_from_python(folder):
    from zz.scoring import score

    paths = sorted((folder / "pics").glob("*.png"))
    first = score(paths, TEXTS, [zz.Cleanliness(), zz.ShapesCorrect()])
    opened = [Image.open(p) for p in paths]
    assert score(opened, TEXTS, zz.Cleanliness(), batch_size=1)["cleanliness"] == first["cleanliness"]
    assert set(first["shapes_correct"]) <= {0.0, 1.0}
    for wrong, said in (
        ({"images": paths[:2]}, "images has 2 entries for 3 prompts"),
        ({"images": [*paths[:2], folder / "none.png"]}, r"images\[2\]"),
        ({"scorers": ["hps"]}, "'hps' is no scorer"),
        ({"scorers": [zz.Cleanliness(), zz.Cleanliness()]}, "called alike"),
        ({"prompts": "a photo"}, "are lists"),
    ):
        with pytest.raises(ValueError, match=said):
            score(**({"images": paths, "prompts": TEXTS, "scorers": zz.Cleanliness()} | wrong))


@pytest.mark.parametrize("head", ["filename", "File", "image_path", "File Name", "IMG"])
def test_a_column_of_files_is_known_by_many_names(folder, head):
    rows = [f"{head},prompt"] + [f"{2 - i}.png,{TEXTS[i]}" for i in range(3)]
    (folder / "prompts.csv").write_text("\n".join(rows))
    found = gallery(str(folder / "pics"), str(folder / "prompts.csv"))
    assert [Path(p).name for p in found.paths if p] == ["2.png", "1.png", "0.png"]


def test_a_column_that_seems_to_name_pictures_is_not_passed_over(folder):
    (folder / "prompts.csv").write_text("\n".join(["which,prompt", *(f"{2 - i}.png,{TEXTS[i]}" for i in range(3))]))
    with pytest.raises(ValueError, match="column which seems to name pictures; call it file"):
        gallery(str(folder / "pics"), str(folder / "prompts.csv"))


def test_a_geneval_folder_without_samples_is_named_and_its_grid_is_no_sample(tmp_path):
    for i in range(3):
        place = tmp_path / f"{i:05d}"
        (place / "samples").mkdir(parents=True)
        (place / "metadata.jsonl").write_text(json.dumps({"prompt": TEXTS[i], "tag": "colors", "include": []}))
        picture(place / "grid.png", 9)
        picture(place / "samples" / "0000.png", 50 * i)
    found = gallery(str(tmp_path))
    assert len(found.paths) == 3 and all("samples" in str(path) for path in found.paths)
    (tmp_path / "00001" / "samples" / "0000.png").unlink()
    with pytest.raises(ValueError, match=f"1 of 3 prompts have no picture: '{TEXTS[1]}'"):
        gallery(str(tmp_path))


def test_pictures_in_several_folders_or_of_one_number_are_not_mixed(folder):
    picture(folder / "pics" / "thumbs" / "0.png", 5)
    with pytest.raises(ValueError, match=r"pictures lie in 2 folders \(., thumbs\)"):
        gallery(str(folder / "pics"), str(folder / "prompts.txt"))
    (folder / "pics" / "thumbs" / "0.png").rename(folder / "pics" / "00.png")
    with pytest.raises(ValueError, match=r"pictures 0\.png, 00\.png have the same numbers"):
        gallery(str(folder / "pics"), str(folder / "prompts.txt"))


def test_hidden_folders_are_passed_over_and_links_to_folders_followed(folder):
    picture(folder / "pics" / ".ipynb_checkpoints" / "0.png", 5)
    assert len(gallery(str(folder / "pics"), str(folder / "prompts.txt")).paths) == 3
    (folder / "links").mkdir()
    (folder / "links" / "there").symlink_to(folder / "pics")
    (folder / "pics" / "back").symlink_to(folder / "links")
    found = gallery(str(folder / "links"), str(folder / "prompts.txt"))
    assert len(found.paths) == 3


def test_a_text_that_comes_twice_is_two_entries_and_a_missing_picture_is_named(folder):
    (folder / "prompts.txt").write_text("\n".join([TEXTS[0], TEXTS[0], TEXTS[1]]))
    found = gallery(str(folder / "pics"), str(folder / "prompts.txt"))
    assert [p.text for p in found.prompts.entries] == [TEXTS[0], TEXTS[0], TEXTS[1]] and found.prompts.repeats == 1
    (folder / "pics" / "1.png").unlink()
    with pytest.raises(ValueError, match="1 of 3 prompts have no picture"):
        gallery(str(folder / "pics"), str(folder / "prompts.txt"))


def test_uneven_numbers_of_pictures_in_a_table_count_each_for_itself(folder, cli, store_path):
    rows = ["file,prompt", f"0.png,{TEXTS[0]}", f"1.png,{TEXTS[0]}", f"2.png,{TEXTS[1]}"]
    (folder / "prompts.csv").write_text("\n".join(rows))
    words = [f"images={folder / 'pics'}", f"prompts={folder / 'prompts.csv'}", "name=uneven", SCORERS]
    code, out, err = cli(*words, command=SCORE)
    assert code == 0 and "names 1 to 2 pictures of a prompt: each counts for itself" in out, err
    results = Results(Store(store_path), find(Store(store_path)))
    assert results.scored(results.manifest.rows[0], "cleanliness") == 3


def test_a_broken_picture_is_named_by_its_own_path_and_levels_without_a_scale_by_theirs(folder, cli):
    (folder / "pics" / "1.png").write_bytes(b"no picture")
    Image.fromarray(np.zeros((8, 8), np.float32)).save(folder / "pics" / "2.tif")
    (folder / "pics" / "2.png").unlink()
    words = [f"images={folder / 'pics'}", f"prompts={folder / 'prompts.txt'}", SCORERS]
    code, out, err = cli(*words, "name=broken", command=SCORE)
    assert code == 1 and f"{folder / 'pics' / '1.png'} cannot be read as a picture" in out + err
    assert "worker died" not in out + err
    assert "mend it and run again" in out + err and f"{folder / 'pics' / '2.tif'}: a picture of floating" in out + err


def test_words_that_have_no_meaning_here_and_comparisons_that_are_none(folder, cli, store_path):
    words = [f"images={folder / 'pics'}", f"prompts={folder / 'prompts.txt'}", SCORERS]
    code, _, err = cli(*words, "limit=2", command=SCORE)
    assert code == 2 and "limit=2 is of pictures that are made" in err
    assert cli(*words, "name=first", command=SCORE)[0] == 0
    (folder / "other.txt").write_text("\n".join(f"{text} left of a star" for text in TEXTS))
    words[1] = f"prompts={folder / 'other.txt'}"
    code, out, err = cli(*words[:2], "scorers=[cleanliness]", "name=second", "against=first", command=SCORE)
    assert code == 0 and "nothing is compared: no prompt is common" in out, err
