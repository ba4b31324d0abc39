"""Payloads of the leaderboard page: a board of any size by a rule, and one of hostile texts."""

MODES = ("dense", "aligned_sparse", "hybrid")
FLOPS = {"dense": 495e6, "aligned_sparse": 28.1e3, "hybrid": 497e6, "bm25": 8.92e3}
LATENCY = {"dense": 9.03, "aligned_sparse": 0.51, "hybrid": 9.71, "bm25": 0.26}
QUALITY = {"dense": 0.60, "aligned_sparse": 0.54, "hybrid": 0.64, "bm25": 0.50}
TASKS = (
    ("SciFact", "Retrieval", "nDCG@10"),
    ("NFCorpus", "Retrieval", "nDCG@10"),
    ("FiQA2018", "Retrieval", "nDCG@10"),
    ("STSBenchmark", "STS", "Spearman"),
    ("STS17 (subset en-en)", "STS", "Spearman"),
    ("AskUbuntuDupQuestions", "Reranking", "MAP"),
)
MODELS = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "McGill-NLP/LLM2Vec-Mistral-7B-Instruct-v2-mntp",
    "intfloat/e5-mistral-7b-instruct",
    "BAAI/bge-small-en-v1.5",
)
COSTS = ("query_flops", "latency_p50_ms", "index_bytes")


def ratio_of(value, dense, *, spread=0.03):
    """A ratio with an interval of `spread` to both sides and its verdict against 0.8."""
    ratio = value / dense
    low, high = ratio - spread, ratio + spread
    verdict = "reached" if low > 0.8 else "not reached" if high < 0.8 else "undecided"
    return {"value": ratio, "low": low, "high": high, "verdict": verdict, "p": 0.0123}


def board(models=3, tasks=6, modes=MODES):
    """Models in every mode, and BM25, on tasks, with values by the rule of `value_of`.

    BM25 has no STS; the last model lacks the last task.
    """
    listed = []
    for number in range(tasks):
        name, kind, metric = TASKS[number % len(TASKS)]
        name += f" {number // len(TASKS) + 1}" if number >= len(TASKS) else ""
        listed.append(
            {
                "id": f"t{number}",
                "name": name,
                "type": kind,
                "metric": metric,
                "facts": f"{5183 + number:,} documents, 300 queries, data revision ab{number:02}",
                "conditions": [["", "Intel(R) Xeon(R), 2 cores; commit 0123abcd"]],
            }
        )
    systems, cells = [], []
    named = [(model, mode) for model in range(models) for mode in modes]
    for model, mode in [*named, (0, "bm25")]:
        system = _system(len(systems), model, mode)
        systems.append(system)
        for number, task in enumerate(listed):
            if mode == "bm25" and task["type"] == "STS":
                continue
            if model == models - 1 > 0 and number == tasks - 1:
                continue
            cells.append(_cell(system, task, number))
    types = list(dict.fromkeys(task["type"] for task in listed))
    for key in ("all", *types):
        _summarise(key, systems, listed, cells)
    for task in listed:
        _place([cell for cell in cells if cell["task"] == task["id"]])
    return {
        "title": "Text embeddings: quality and cost",
        "generated": "2026-11-27",
        "version": "0.9.0",
        "summary": f"{len(systems)} systems on {tasks} tasks: what each mode reaches and costs.",
        "threshold": 0.8,
        "unreadable": [],
        "kinds": [*modes, "bm25"],
        "facets": ["model", "mode", "pooling", "template", "head", "dtype"],
        "types": types,
        "counts": {
            key: sum(key in ("all", task["type"]) for task in listed) for key in ("all", *types)
        },
        "tasks": listed,
        "systems": systems,
        "cells": cells,
        "paper": [
            {
                "system": "BM25",
                "task": "SciFact",
                "value": 0.665,
                "of_dense": None,
                "source": "BEIR",
            },
            {
                "system": "LLM2Vec, sparse",
                "task": "SciFact",
                "value": 0.618,
                "of_dense": 0.85,
                "source": "the paper’s table 3",
            },
        ],
    }


def _system(number, model, mode):
    name = MODELS[model] if model < len(MODELS) else f"org/model-{model}"
    name = "baseline/bm25s" if mode == "bm25" else name
    pooling = "" if mode == "bm25" else ("mean", "last token", "eos")[model % 3]
    template = "" if mode == "bm25" else ("none", "llm2vec", "e5_mistral")[model % 3]
    head = "ridge" if mode == "aligned_sparse" else ""
    return {
        "id": f"s{number}",
        "model": name,
        "revision": "d2619276",
        "mode": mode,
        "kind": mode,
        "facets": {
            **{"model": name, "mode": mode, "pooling": pooling, "template": template},
            **{"head": head, "dtype": "float32"},
        },
        "settings": f"{pooling} pooling, ≤256 tokens" if pooling else "k1 = 1.5, b = 0.75",
        **{"mean": {}, "missing": {}, "borda": {}, "rank": {}, "rank_borda": {}},
        **{"group": {}, "ratio": {}, "front": {}},
        "costs": dict.fromkeys(("all", "Retrieval", "STS", "Reranking"), _costs(model, mode, 0)),
        "page": f"runs/{mode}-{model}.html",
    }


def _costs(model, mode, task):
    size = 1 if mode == "bm25" else (model + 1) ** 2
    encodes = mode != "bm25"
    return {
        "query_flops": FLOPS[mode] * size * (1 + task / 10),
        "document_flops": 5.63e9 * size if encodes else 0.0,
        "head_flops": None,
        "corpus_flops": None,
        "latency_p50_ms": LATENCY[mode]
        * (1 + task / 10)
        * (size if mode != "aligned_sparse" else 1),
        "latency_p95_ms": 1.4 * LATENCY[mode] * (1 + task / 10),
        "latency_p99_ms": None,
        "index_bytes": 7.59 * 2**20 * size,
        "documents_per_second": 105.4 / size if encodes else None,
        "documents": 5183,
        "queries": 300,
    }


def value_of(model, mode, task):
    """A system's value on the task of that number."""
    return QUALITY[mode] + (0 if mode == "bm25" else 0.03 * model) + 0.05 * ((task * 7) % 5) - 0.1


def _cell(system, task, number):
    model = int(system["page"].removesuffix(".html").rpartition("-")[2])
    value = value_of(model, system["mode"], number)
    dense = value_of(model, "dense", number)
    ratio = None
    if system["mode"] not in ("dense", "bm25"):
        counts = {"wins": 80 + number, "ties": 100, "losses": 120 - number}
        ratio = ratio_of(value, dense, spread=0.06) | counts
    published = 0.6451 if system["mode"] == "dense" and number == 0 else None
    return {
        "system": system["id"],
        "task": task["id"],
        **{"value": value, "low": value - 0.04, "high": value + 0.04, "ratio": ratio},
        **{"place": None, "group": None, "front": []},
        "costs": _costs(model, system["mode"], number),
        "published": published,
        "difference": None if published is None else value - published,
        "mark": "",
        "page": f"{system['page']}#{task['name'].replace(' ', '%20')}",
    }


def _summarise(key, systems, tasks, cells):
    members = {task["id"] for task in tasks if key in ("all", task["type"])}
    for system in systems:
        mine = [c for c in cells if c["system"] == system["id"] and c["task"] in members]
        whole = len(mine) == len(members)
        system["missing"][key] = len(members) - len(mine)
        system["mean"][key] = sum(c["value"] for c in mine) / len(mine) if whole else None
        ratios = [c["ratio"]["value"] for c in mine if c["ratio"]]
        mean_ratio = sum(ratios) / len(ratios) if ratios else None
        system["ratio"][key] = (
            ratio_of(mean_ratio, 1.0) | {"tasks": len(ratios)} if mean_ratio else None
        )
        system["borda"][key] = sum(
            sum(o["value"] < c["value"] for o in cells if o["task"] == c["task"]) for c in mine
        )
        system["group"][key] = None
    ranked = sorted(
        (s for s in systems if s["mean"][key] is not None), key=lambda s: -s["mean"][key]
    )
    borda = sorted((s for s in systems), key=lambda s: -s["borda"][key])
    for system in systems:
        whole = system["mean"][key] is not None
        system["rank"][key] = ranked.index(system) + 1 if whole else None
        system["rank_borda"][key] = borda.index(system) + 1 if whole else None
        system["group"][key] = "abcdefghijkl"[ranked.index(system) // 2 % 12] if whole else None
        system["front"][key] = [
            cost
            for cost in COSTS
            if whole
            and all(
                o["mean"][key] < system["mean"][key]
                or o["costs"][key][cost] > system["costs"][key][cost]
                for o in ranked
                if o is not system
            )
        ]


def _place(cells):
    for place, cell in enumerate(sorted(cells, key=lambda c: -c["value"]), start=1):
        cell["place"] = place
        cell["group"] = "abcdefghijkl"[(place - 1) // 2 % 12]
        cell["front"] = [
            cost
            for cost in COSTS
            if all(
                o["value"] < cell["value"] or o["costs"][cost] > cell["costs"][cost]
                for o in cells
                if o is not cell
            )
        ]


HOSTILE = (
    "<script>alert(1)</script></script><img src=x onerror=alert(2)>"
    '<b>bold</b><a href="javascript:alert(3)">go</a>&lt;i&gt;"\'%{x}\u2028\x07'
)


def hostile():
    """A board whose every text tries to be markup, each with a word of its own before it."""
    found = board(models=1, tasks=2)

    def spoil(word, text=HOSTILE):
        return f"{word} {text}"

    for key in ("title", "summary", "version"):
        found[key] = spoil(key)
    found["unreadable"] = [spoil("unreadable")]
    found["kinds"] = [spoil(kind) for kind in found["kinds"]]
    found["facets"] = [spoil(facet) for facet in found["facets"]]
    found["types"] = [spoil("Retrieval"), spoil("other")]
    found["counts"] = {"all": 2} | dict.fromkeys(found["types"], 1)
    for task, kind in zip(found["tasks"], found["types"], strict=True):
        task.update({key: spoil(task[key]) for key in ("name", "metric", "facts")}, type=kind)
        task["conditions"] = [[spoil("mark"), spoil("where")]]
    for system in found["systems"]:
        keys = ("model", "revision", "mode", "kind", "settings")
        system.update({key: spoil(system[key]) for key in keys})
        system["facets"] = {spoil(key): spoil(value) for key, value in system["facets"].items()}
        system["page"] = "javascript:alert(4)"
        for key in ("mean", "missing", "borda", "rank", "rank_borda", "group", "ratio", "front"):
            both = system[key]
            system[key] = {"all": both["all"]} | dict.fromkeys(found["types"], both["all"])
        system["group"] = {key: spoil("group") for key in system["group"]}
        for share in system["ratio"].values():
            if share:
                share["verdict"] = spoil("verdict")
    for cell in found["cells"]:
        cell.update(group=spoil("group"), mark=spoil("m"), page=f'x" onclick="{HOSTILE}')
        if cell["ratio"]:
            cell["ratio"]["verdict"] = spoil("verdict")
    found["paper"] = [
        {"value": 0.5, "of_dense": 0.5, "task": found["tasks"][0]["name"]}
        | {"system": spoil("system"), "source": spoil("source")}
    ]
    return found
