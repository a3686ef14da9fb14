"""dspy's KNN over given vectors: its times, and how often its KNNFewShot asks a model for one answer. Started by few_shot.py in the peer's environment.

Belongs here: calls of dspy. Not here: vectors, our own lookups (few_shot.py). It imports nothing of ours.

Arguments: a folder with examples.npy and queries.npy, k. Says {version, calls} once it is ready; then, for each line [start, count] of stdin, the milliseconds
of so many lookups, and what one took of a core.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import dspy
import numpy as np
from dspy.predict.knn import KNN

FOLDER, K = Path(sys.argv[1]), int(sys.argv[2])


def main() -> None:
    out, sys.stdout = sys.stdout, sys.stderr  # dspy prints
    vectors = {"e": np.load(FOLDER / "examples.npy"), "q": np.load(FOLDER / "queries.npy")}

    def embed(texts: list[str]) -> np.ndarray:
        """A text is the place of its vector, whatever dspy writes before it."""
        names = [text.rsplit(" ", 1)[1] for text in texts]
        return np.stack([vectors[name[0]][int(name[1:])] for name in names])

    examples = [dspy.Example(question=f"e{number}", answer=str(number % 16)).with_inputs("question") for number in range(len(vectors["e"]))]
    knn = KNN(K, examples, dspy.Embedder(embed, batch_size=2_000, caching=False))
    print(json.dumps({"version": version("dspy"), "calls": calls_of_few_shot(examples, embed)}), file=out, flush=True)
    for line in sys.stdin:
        start, count = json.loads(line)
        times, own = [], time.process_time()
        for number in range(start, start + count):
            begun = time.perf_counter()
            knn(question=f"q{number}")
            times.append(1000 * (time.perf_counter() - begun))
        print(json.dumps([times, 1000 * (time.process_time() - own) / count]), file=out, flush=True)


class Fake(dspy.BaseLM):
    """Counts what it is asked, and answers what an example says."""

    def __init__(self) -> None:
        super().__init__("fake/model")
        self.asked = 0

    def forward(self, prompt: object = None, messages: object = None, **options: object) -> SimpleNamespace:
        self.asked += 1
        said = SimpleNamespace(content="[[ ## answer ## ]]\n1\n\n[[ ## completed ## ]]")
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return SimpleNamespace(choices=[SimpleNamespace(message=said, finish_reason="stop")], usage=usage, model="fake")


def calls_of_few_shot(examples: list[dspy.Example], embed: object) -> int:
    """The least of three answers."""
    model, counts = Fake(), []
    with dspy.context(lm=model):
        program = dspy.KNNFewShot(k=K, trainset=examples[:200], vectorizer=dspy.Embedder(embed, caching=False)).compile(dspy.Predict("question -> answer"))
        for number in range(3):
            before = model.asked
            program(question=f"q{number}")
            counts.append(model.asked - before)
    return min(counts)


main()
