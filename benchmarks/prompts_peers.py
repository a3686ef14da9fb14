"""The peers' optimizers, run as they are meant to be: a child process in their own environment (`make peer-optimizers`), a job in, predictions out.

Belongs here: the adapters that a user of gepa and dspy would write for this model, and their budgets. Not here: anything of ours; it is not importable there.

The job is JSON on stdin: {method, seed, calls, url, instruction, labels, train, validation, test, vectors}. The last line of stdout is {predictions, notes}.
Every peer asks in the same chat form (instruction, demonstrations as turns, the message), answers constrained to the labels: else this model writes prose.
"""

from __future__ import annotations

import json
import random
import sys
import urllib.request
from types import SimpleNamespace
from typing import Any

NEIGHBOURS = 5
REFLECTION_TOKENS = 160


def post(url: str, phase: str, messages: list[dict[str, str]], **body: Any) -> str:
    data = json.dumps({"messages": messages, "temperature": 0.0, **body}).encode()
    request = urllib.request.Request(f"{url}/{phase}/v1/chat/completions", data, {"Content-Type": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=600) as answer:
        return json.loads(answer.read())["choices"][0]["message"]["content"]


# --- gepa ---


def gepa(job: dict[str, Any], reflect: bool = False) -> tuple[list[str], dict[str, Any]]:
    """gepa.optimize with an adapter of its documented protocol. `reflect`: the embedded model writes the proposals; else they are templated."""
    import gepa as library
    from gepa.core.adapter import EvaluationBatch

    def ask(phase: str, instruction: str, text: str) -> str:
        return post(job["url"], phase, [{"role": "system", "content": instruction}, {"role": "user", "content": text}], choices=job["labels"])

    class Adapter:
        propose_new_texts = None

        def evaluate(self, batch: list[Any], candidate: dict[str, str], capture_traces: bool = False) -> Any:
            said = [ask("search", candidate["instruction"], text) for text, _ in batch]
            scores = [float(one == label) for one, (_, label) in zip(said, batch, strict=True)]
            traces = [{"text": text, "label": label, "said": one} for one, (text, label) in zip(said, batch, strict=True)]
            return EvaluationBatch(outputs=said, scores=scores, trajectories=traces if capture_traces else None)

        def make_reflective_dataset(self, candidate: dict[str, str], eval_batch: Any, components_to_update: list[str]) -> dict[str, Any]:
            records = [
                {"Inputs": trace["text"], "Generated Outputs": trace["said"], "Feedback": f"The right answer is: {trace['label']}", "label": trace["label"]}
                for trace in eval_batch.trajectories
            ]
            return dict.fromkeys(components_to_update, records)

    def propose(candidate: dict[str, str], reflective: Any, components: list[str]) -> dict[str, str]:
        """What a good reflection would keep of the failures: the allowed labels, and the failed messages with their right labels."""
        texts = {}
        for name in components:
            lines = candidate[name] if "Answers:" in candidate[name] else f"{candidate[name]}\nAnswers: {', '.join(job['labels'])}."
            for record in reflective[name]:
                if record["Generated Outputs"] != record["label"]:
                    lines += f"\n{record['Inputs']} -> {record['label']}"
            texts[name] = lines
        return texts

    proposals = SimpleNamespace(n=0)

    def reflection(prompt: Any) -> str:
        proposals.n += 1
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        return post(job["url"], "reflection", messages, max_tokens=REFLECTION_TOKENS, temperature=1.0, seed=job["seed"] * 1000 + proposals.n)

    result = library.optimize(
        seed_candidate={"instruction": job["instruction"]},
        trainset=[tuple(pair) for pair in job["train"]],
        valset=[tuple(pair) for pair in job["validation"]],
        adapter=Adapter(),
        reflection_lm=reflection if reflect else None,
        custom_candidate_proposer=None if reflect else propose,
        max_metric_calls=job["calls"],
        seed=job["seed"],
        display_progress_bar=False,
        logger=SimpleNamespace(log=lambda *_, **__: None),
    )
    best = result.best_candidate["instruction"]
    notes = {"candidates": result.num_candidates, "metric_calls": result.total_metric_calls, "validation_score": result.val_aggregate_scores[result.best_idx]}
    return [ask("test", best, text) for text in job["test"]], notes | {"characters": len(best)}


# --- dspy ---


def with_dspy(job: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    import dspy

    random.seed(job["seed"])
    labels = job["labels"]

    class Embedded(dspy.BaseLM):
        """The counting endpoint. The task's calls choose a label; what the proposer writes is free text in the adapter's format."""

        phase, asked = "search", 0

        def forward(self, prompt: str | None = None, messages: Any = None, **given: Any) -> Any:
            options = {**self.kwargs, **given}
            if "grammar" in options:
                Embedded.asked += 1
                body = {"grammar": options["grammar"], "max_tokens": REFLECTION_TOKENS, "temperature": options.get("temperature") or 0.0}
                text = post(job["url"], "reflection", messages, seed=job["seed"] * 1000 + Embedded.asked, **body)
            else:
                text = post(job["url"], Embedded.phase, messages, choices=labels)
            message = SimpleNamespace(content=text)
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            return SimpleNamespace(choices=[SimpleNamespace(message=message, finish_reason="stop")], usage=usage, model="embedded")

    class Turns(dspy.ChatAdapter):
        """The task as plain turns; every other signature (the proposer's) in dspy's own chat format, which a grammar makes the model keep to."""

        def __call__(self, lm: Any, lm_kwargs: Any, signature: Any, demos: Any, inputs: Any) -> Any:
            if list(signature.output_fields) != ["label"]:
                lm_kwargs = {**lm_kwargs, "grammar": chat_format(list(signature.output_fields))}
            return super().__call__(lm, lm_kwargs, signature, demos, inputs)

        def format(self, signature: Any, demos: Any, inputs: Any) -> Any:
            if list(signature.output_fields) != ["label"]:
                return super().format(signature, demos, inputs)
            turns = [{"role": "system", "content": signature.instructions}]
            for demo in demos:
                turns += [{"role": "user", "content": demo["message"]}, {"role": "assistant", "content": demo["label"]}]
            return [*turns, {"role": "user", "content": inputs["message"]}]

        def parse(self, signature: Any, completion: str) -> Any:
            return {"label": completion} if list(signature.output_fields) == ["label"] else super().parse(signature, completion)

    lm = Embedded("embedded", temperature=0.0)
    dspy.configure(lm=lm, adapter=Turns())
    program = dspy.Predict(dspy.Signature("message -> label", job["instruction"]))
    sets = {name: [dspy.Example(message=text, label=label).with_inputs("message") for text, label in job[name]] for name in ("train", "validation")}
    compiled, notes = OPTIMIZERS[job["method"]](dspy, program, job, sets)
    Embedded.phase = "test"
    return [compiled(message=text).label for text in job["test"]], notes


def chat_format(fields: list[str]) -> str:
    """The grammar of dspy's chat format with free text in every field."""
    parts = " ".join(f'"[[ ## {field} ## ]]\\n" text "\\n\\n"' for field in fields)
    return f'root ::= {parts} "[[ ## completed ## ]]"\ntext ::= [^\\[\\]]+'


def right(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.label == prediction.label)


def random_search(dspy: Any, program: Any, job: dict[str, Any], sets: Any) -> tuple[Any, dict[str, Any]]:
    """As many candidate programs as the budget holds: each is scored on validation after some calls of bootstrapping."""
    programs = max(1, round(job["calls"] / (len(sets["validation"]) + 4)) - 3)
    search = dspy.BootstrapFewShotWithRandomSearch(metric=right, num_candidate_programs=programs, num_threads=1)
    best = search.compile(program, trainset=shuffled(sets["train"], job["seed"]), valset=sets["validation"])
    return best, {"programs": programs + 3, "demonstrations": len(best.demos), "validation_score": max(one["score"] for one in best.candidate_programs) / 100}


def mipro(dspy: Any, program: Any, job: dict[str, Any], sets: Any) -> tuple[Any, dict[str, Any]]:
    """The candidates of `light` (6 demonstration sets, 3 instructions), with as many trials as the budget holds instead of its 10.

    Summaries of data and program are left to models that can write them.
    """
    bootstrapping = 25
    trials = max(2, round((job["calls"] - bootstrapping - len(sets["validation"])) / len(sets["validation"])))
    search = dspy.MIPROv2(metric=right, auto=None, num_candidates=6, num_threads=1, seed=job["seed"] + 1)
    search.num_instruct_candidates = 3
    best = search.compile(
        program, trainset=shuffled(sets["train"], job["seed"]), valset=sets["validation"], num_trials=trials, minibatch=False,
        program_aware_proposer=False, data_aware_proposer=False,
    )  # fmt: skip
    return best, {"trials": trials, "demonstrations": len(best.demos), "validation_score": best.score / 100}


def nearest(dspy: Any, program: Any, job: dict[str, Any], sets: Any) -> tuple[Any, dict[str, Any]]:
    """Every known message may be shown. Without bootstrapping the same five are shown for one call instead of six, as the task has no steps to fill in."""
    import numpy as np

    vectors = job["vectors"]
    embed = dspy.Embedder(lambda texts: np.array([vectors[text] for text in texts], dtype=np.float32), caching=False)
    given = {"metric": right, "max_bootstrapped_demos": job.get("bootstrapped", 0), "max_labeled_demos": 16}
    compiled = dspy.KNNFewShot(NEIGHBOURS, sets["train"] + sets["validation"], embed, **given).compile(program)
    return compiled, {"neighbours": NEIGHBOURS}


def shuffled(examples: list[Any], seed: int) -> list[Any]:
    return random.Random(seed).sample(examples, len(examples))


OPTIMIZERS = {"dspy-random-search": random_search, "dspy-mipro": mipro, "dspy-knn": nearest}


def main() -> None:
    job = json.load(sys.stdin)
    out, sys.stdout = sys.stdout, sys.stderr  # the optimizers print
    if job["method"].startswith("gepa"):
        predictions, notes = gepa(job, reflect=job["method"] == "gepa-reflection")
    else:
        predictions, notes = with_dspy(job)
    print(json.dumps({"predictions": predictions, "notes": notes}), file=out, flush=True)


if __name__ == "__main__":
    main()
