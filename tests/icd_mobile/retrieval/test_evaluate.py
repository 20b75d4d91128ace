"""`python -m bench evaluate`: figures worked by hand, an independent search, and its mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from bench.__main__ import app
from icd_mobile.datasets.ground_truth import write_ground_truth
from icd_mobile.retrieval.descriptor_files import write_descriptors, write_submission

NUM_QUERIES, NUM_REFERENCES, NUM_TRAINING, NUM_DIMS, NUM_MATCHED = 40, 300, 200, 16, 25

BOTH = ("--queries", "q.h5", "--references", "r.h5")


def evaluate(*words: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *(str(word) for word in words)])


def figures(*words: object) -> dict:
    done = evaluate(*words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def csv_file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def hand_worked(tmp_path: Path) -> tuple[Path, Path]:
    """Four queries, three with a match; sorted: match, negative, match, negative; one pair never retrieved."""
    truth = csv_file(tmp_path / "g.csv", "query_id,reference_id\nQ0,R0\nQ1,R1\nQ2,R2\nQ3,\n")
    rows = "Q3,R9,0.8\nQ1,R1,0.7\nQ0,R0,0.9\nQ1,R0,0.1\n"
    return truth, csv_file(tmp_path / "p.csv", "query_id,reference_id,score\n" + rows)


def test_predictions_are_judged_to_the_last_digit(hand_worked: tuple[Path, Path]) -> None:
    # Precision 1/1 and 2/3 at the matches, over three pairs: (1 + 2/3) / 3 = 5/9. Recall 1/3 at precision 0.9.
    truth, predictions = hand_worked
    found = figures("--ground-truth", truth, "--predictions", predictions)
    assert found["micro_ap"] == pytest.approx(5 / 9, abs=1e-15)
    assert (found["recall_at_p90"], found["threshold_at_p90"]) == (1 / 3, 0.9)
    assert (found["recall_at_1"], found["recall_at_10"], found["accuracy_at_1"]) == (2 / 3, 2 / 3, 2 / 3)
    assert found["mean_ap"] == pytest.approx(2 / 3)
    assert found["micro_ap_low"] <= found["micro_ap"] <= found["micro_ap_high"]
    counts = [found[name] for name in ("num_queries", "num_queries_with_match", "num_pairs", "num_candidates")]
    assert counts == [4, 3, 3, 4]


def test_table_shows_the_figures_and_what_they_depend_on(hand_worked: tuple[Path, Path]) -> None:
    truth, predictions = hand_worked
    done = evaluate("--ground-truth", truth, "--predictions", predictions)
    assert done.exit_code == 0
    assert "micro-AP             0.5556   95 % interval" in done.stdout
    assert f"as given in {predictions}" in done.stdout
    assert "measured" in done.stdout


def test_no_prediction_gives_zero_and_no_threshold(hand_worked: tuple[Path, Path], tmp_path: Path) -> None:
    empty = csv_file(tmp_path / "empty.csv", "query_id,reference_id,score\n")
    found = figures("--ground-truth", hand_worked[0], "--predictions", empty)
    assert (found["micro_ap"], found["recall_at_p90"], found["threshold_at_p90"]) == (0.0, 0.0, None)
    assert "none: never reached" in evaluate("--ground-truth", hand_worked[0], "--predictions", empty).stdout


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


class Files:
    """Noisy copies of the first references as queries, more queries without a match, and a training set."""

    def __init__(self, folder: Path) -> None:
        rng = np.random.default_rng(0)
        self.references = unit(rng.standard_normal((NUM_REFERENCES, NUM_DIMS)))
        self.training = unit(rng.standard_normal((NUM_TRAINING, NUM_DIMS)))
        noise = 0.3 * rng.standard_normal((NUM_MATCHED, NUM_DIMS))
        others = rng.standard_normal((NUM_QUERIES - NUM_MATCHED, NUM_DIMS))
        self.queries = unit(np.concatenate([self.references[:NUM_MATCHED] + noise, others]))
        self.query_ids = [f"Q{index:05d}" for index in range(NUM_QUERIES)]
        self.reference_ids = [f"R{index:06d}" for index in range(NUM_REFERENCES)]
        self.scores = self.queries.astype(np.float64) @ self.references.astype(np.float64).T
        self.folder, self.truth = folder, folder / "g.csv"
        pairs = list(zip(self.query_ids[:NUM_MATCHED], self.reference_ids, strict=False))
        write_ground_truth(self.truth, self.query_ids, pairs)
        write_descriptors(folder / "q.h5", self.queries, self.query_ids)
        write_descriptors(folder / "r.h5", self.references, self.reference_ids)
        write_descriptors(folder / "t.h5", self.training, [f"T{index:06d}" for index in range(NUM_TRAINING)])

    def words(self, *more: object) -> list[object]:
        sides = ["--queries", self.folder / "q.h5", "--references", self.folder / "r.h5"]
        return ["--ground-truth", self.truth, *sides, *more]


def micro_ap_by_sorting(scores: np.ndarray, per_query: int | None = None, limit: int | None = None) -> float:
    """Of all pairs' scores (Q, R), by full sorts: each query's best, or the best of all. Query i copies reference i."""
    queries, found = np.divmod(np.argsort(-scores, axis=None), scores.shape[1])
    if per_query is not None:
        places = np.argsort(np.argsort(-scores, axis=1), axis=1)
        kept = places[queries, found] < per_query
        queries, found = queries[kept], found[kept]
    is_match = ((queries == found) & (queries < NUM_MATCHED))[:limit]
    ranks = np.flatnonzero(is_match) + 1
    return float((np.arange(1, len(ranks) + 1) / ranks).sum() / NUM_MATCHED)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_descriptors_are_searched_per_query(files: Files) -> None:
    found = figures(*files.words())
    expected = micro_ap_by_sorting(files.scores, per_query=10)
    assert 0.1 < expected < 0.9
    assert found["micro_ap"] == pytest.approx(expected, abs=1e-12)
    assert found["num_candidates"] == 10 * NUM_QUERIES
    assert figures(*files.words("--k", 3))["micro_ap"] == pytest.approx(
        micro_ap_by_sorting(files.scores, per_query=3), abs=1e-12
    )


def test_configuration_stands_beside_the_figures(files: Files) -> None:
    configuration = figures(*files.words())["configuration"]
    assert configuration["candidates"] == "exact, k = 10 a query"
    assert configuration["references"] == "300 of 16 dimensions"
    assert (configuration["codec"], configuration["score normalisation"]) == ("Flat", "none")
    words = files.words("--training", files.folder / "t.h5", "--beta", 1, "--codec", "PCAW8,L2norm,Flat")
    table = evaluate(*words, "--global-candidates").stdout
    for text in ("PCAW8,L2norm,Flat", "1[0,2]", "200 descriptors", "the best 400 pairs of all"):
        assert text in table


def test_global_candidates_are_the_best_of_all_pairs(files: Files) -> None:
    found = figures(*files.words("--global-candidates"))
    assert found["num_candidates"] == 10 * NUM_QUERIES
    assert found["micro_ap"] == pytest.approx(micro_ap_by_sorting(files.scores, limit=10 * NUM_QUERIES), abs=1e-12)


def test_score_normalisation_subtracts_the_mean_of_the_three_nearest_in_training(files: Files) -> None:
    to_training = np.sort(files.queries.astype(np.float64) @ files.training.astype(np.float64).T, axis=1)
    scores = files.scores - 0.7 * to_training[:, -3:].mean(axis=1, keepdims=True)
    words = files.words("--training", files.folder / "t.h5", "--beta", 0.7)
    expected = micro_ap_by_sorting(scores, per_query=10)
    assert expected != pytest.approx(micro_ap_by_sorting(files.scores, per_query=10), abs=1e-3)
    assert figures(*words)["micro_ap"] == pytest.approx(expected, abs=1e-12)
    expected = micro_ap_by_sorting(scores, limit=10 * NUM_QUERIES)
    assert figures(*words, "--global-candidates")["micro_ap"] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("factory", ["IVF8,Flat", "HNSW32", "L2norm,Flat"])
def test_index_that_looks_at_everything_finds_what_the_exact_search_finds(files: Files, factory: str) -> None:
    """All 8 lists of the inverted file are probed, and the graph's 300 nodes are all within its reach."""
    parameters = {"IVF8,Flat": "nprobe=8", "HNSW32": "efSearch=300", "L2norm,Flat": ""}[factory]
    words = ("--training", files.folder / "t.h5", "--index", factory, "--index-parameters", parameters)
    found, exact = figures(*files.words(*words)), figures(*files.words())
    assert found["micro_ap"] == pytest.approx(exact["micro_ap"], abs=1e-12)
    named = f"FAISS index {factory}" + (f" with {parameters}" if parameters else "")
    assert found["configuration"]["candidates"] == f"not exact ({named}), at most k = 10 a query"
    assert found["configuration"]["training"] == ("200 descriptors" if factory == "IVF8,Flat" else "none")


def test_index_that_looks_at_less_finds_less_and_still_is_judged(files: Files) -> None:
    words = ("--training", files.folder / "t.h5", "--codec", "PCAW8,L2norm,Flat", "--beta", 0.5, "--k", 100)
    found = figures(*files.words(*words, "--index", "IVF64,PQ4x4"))
    assert found["num_candidates"] < 100 * NUM_QUERIES
    assert 0 < found["micro_ap"] <= 1
    assert found["configuration"]["candidates"] == "not exact (FAISS index IVF64,PQ4x4), at most k = 100 a query"


def test_submission_in_one_file_and_references_in_parts_give_the_same(files: Files) -> None:
    expected = figures(*files.words())
    sides = (files.queries, files.query_ids, files.references, files.reference_ids)
    write_submission(files.folder / "s.h5", *sides)
    write_descriptors(files.folder / "a.h5", files.references[:111], files.reference_ids[:111])
    write_descriptors(files.folder / "b.h5", files.references[111:], files.reference_ids[111:])
    both = ("--queries", files.folder / "s.h5", "--references", files.folder / "s.h5")
    parts = ("--references", files.folder / "a.h5", "--references", files.folder / "b.h5")
    for words in (both, ("--queries", files.folder / "q.h5", *parts)):
        assert figures("--ground-truth", files.truth, *words) == expected


def test_written_predictions_give_the_same_figures(files: Files) -> None:
    path = files.folder / "out" / "p.csv"
    searched = figures(*files.words("--write-predictions", path))
    judged = figures("--ground-truth", files.truth, "--predictions", path)
    del searched["configuration"], judged["configuration"]
    assert judged == searched


def test_ground_truth_of_matched_queries_alone_gives_the_same_micro_ap(files: Files) -> None:
    expected = figures(*files.words())
    pairs = zip(files.query_ids[:NUM_MATCHED], files.reference_ids, strict=False)
    write_ground_truth(files.truth, files.query_ids[:NUM_MATCHED], pairs)
    assert figures(*files.words())["micro_ap"] == expected["micro_ap"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--predictions", "absent.csv"], 2, "no file absent.csv"),
        ([], 2, "needs --predictions P.csv, or both"),
        (["--queries", "q.h5"], 2, "needs --predictions P.csv, or both"),
        (["--predictions", "p.csv", "--queries", "q.h5"], 2, "leave out the options of descriptors"),
        (["--predictions", "p.csv", "--beta", "1"], 2, "leave out the options of descriptors"),
        (["--queries", "q.h5", "--references", "r.h5", "--beta", "1"], 2, "give --training"),
        (["--queries", "q.h5", "--references", "r.h5", "--codec", "PCAW4,L2norm,Flat"], 2, "give --training"),
        (["--queries", "q.h5", "--references", "r.h5", "--codec", "IVF64,Flat"], 2, "unknown codec 'IVF64,Flat'"),
        (["--queries", "q.h5", "--references", "r.h5", "--training", "r.h5", "--beta", "1"], 1, "300 of its 300 ids"),
        (["--queries", "q.h5", "--references", "r.h5", "--training", "renamed.h5", "--beta", "1"], 1, "descriptors"),
        (["--queries", "q.h5", "--references", "r.h5", "--beta", "inf"], 2, "--beta needs a finite number"),
        (
            [*BOTH, "--index", "nonsense"],
            2,
            "FAISS index nonsense cannot be used (could not parse index string nonsense)",
        ),
        (
            [*BOTH, "--index", "PQ7", "--training", "t.h5"],
            2,
            "should be a multiple of the number of subquantizers (M))",
        ),
        (
            [*BOTH, "--index", "IVF4,Flat"],
            2,
            "codec Flat with beta 0 and FAISS index IVF4,Flat is fitted; give --training",
        ),
        ([*BOTH, "--index", "IVF4,Flat", "--training", "r.h5"], 1, "300 of its 300 ids"),
        ([*BOTH, "--index", "IVF512,Flat", "--training", "t.h5"], 2, "Number of training points (200) should be"),
        ([*BOTH, "--index", "HNSW8", "--index-parameters", "nprobe=2"], 2, "could not set parameter nprobe"),
        ([*BOTH, "--index", "HNSW8", "--global-candidates"], 2, "leave out --index"),
        ([*BOTH, "--index-parameters", "nprobe=2"], 2, "the exact search has none"),
        (["--predictions", "p.csv", "--index", "HNSW8"], 2, "leave out the options of descriptors"),
        (["--queries", "r.h5", "--references", "r.h5"], 2, "row 2: no query 'Q00000' in r.h5"),
        (["--queries", "q.h5", "--references", "q.h5"], 2, "row 2: no reference 'R000000' in q.h5"),
        (["--queries", "fewer.h5", "--references", "r.h5"], 2, "row 32: no query 'Q00030' in fewer.h5, nor 9 others"),
        (["--queries", "more.h5", "--references", "r.h5"], 2, "more.h5 row 40 ('Q99999') is not in g.csv"),
        (["--queries", "q.h5", "--references", "wide.h5"], 2, "wide.h5 has 20 dimensions, q.h5 has 16"),
        (["--queries", "q.h5", "--references", "cut.h5"], 2, "cut.h5 is not HDF5 or is cut short"),
    ],
)
def test_mistake_is_one_line_and_its_exit_code(
    words: list[str], code: int, message: str, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files.folder)
    write_descriptors(Path("renamed.h5"), files.queries[::2], [f"T{index}" for index in range(NUM_QUERIES // 2)])
    write_descriptors(Path("fewer.h5"), files.queries[:30], files.query_ids[:30])
    one_more = np.concatenate([files.queries, files.training[:1]])
    write_descriptors(Path("more.h5"), one_more, [*files.query_ids, "Q99999"])
    write_descriptors(Path("wide.h5"), unit(np.ones((NUM_REFERENCES, 20))), files.reference_ids)
    Path("cut.h5").write_bytes(Path("r.h5").read_bytes()[:5000])
    done = evaluate("--ground-truth", "g.csv", *words)
    errors = [line for line in done.stderr.splitlines() if line.strip()]
    assert (done.exit_code, len(errors)) == (code, 1), done.output
    assert message in errors[0]
    assert done.stdout == ""


def test_help_gives_examples() -> None:
    assert "python -m bench evaluate --ground-truth G.csv --predictions P.csv" in evaluate("--help").stdout
