"""Texts to classes by their characters: Zhang's convolutional network, trained on a table, and asked about texts.

  python examples/char_cnn.py predict --text "Oil prices fell"     by trained weights, of AG's news
  python examples/char_cnn.py evaluate                             accuracy and F1 on the official test rows
  python examples/char_cnn.py train                                AG's news; or french_reviews with --data_path
  python examples/char_cnn.py train --data_path tweets.csv --text_column SentimentText --label_column Sentiment

After Ahmed Besbes's repository character-based-cnn, whose options have their own names here (a hyphen is as good as an
underscore), and Zhang, Zhao and LeCun 2015, https://arxiv.org/abs/1509.01626. To predict, the alphabet, the length, the
steps and the classes are those of the model's file. Losses are in nats: a blind guess among K classes costs log(K).
"""

import json
import math
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy
from char_cnns.network import SIZES, build, check_config, fits, read_config, summary
from char_cnns.running import (
    add_columns,
    class_weights_of,
    log_probabilities,
    make_optimizer,
    train_flags,
    write_metrics,
)
from char_cnns.tables import KNOWN, file_of, load, read_table
from char_cnns.texts import STEPS, Quantiser, cleaned, with_gaps
from scratch.parallel import default_threads, in_threads, mine

from scratch.backend import to_device
from scratch.batching import batches
from scratch.checks import ScratchError
from scratch.layer import Sequential
from scratch.losses import FocalLoss, SoftmaxCrossEntropy
from scratch.tools import program
from scratch.tools.checkpoint import begin_run, check_weights, save_checkpoint
from scratch.tools.files import read_shapes
from scratch.tools.history import History, progress, stop_unless_finite, tensorboard_log
from scratch.tools.plots import confusion_matrix, curve
from scratch.tools.scores import accuracy, count_confusions, mean_f1, shares, table
from scratch.tools.weights import load_weights, metadata_of, save_weights

FILES = ("checkpoint.npz", "history.jsonl", "weights.npz", "metrics.txt", "confusion.png", "loss.png")
SETTINGS = (
    "validation_split", "steps", "alphabet", "max_length", "epochs", "batch_size", "optimizer", "learning_rate",
    "weight_decay", "dropout_input", "schedule", "patience", "class_weights", "focal_loss", "seed",
)
SMOKE = "SentimentText,Sentiment\n" + "".join(
    f"it was {word} {end},{label}\n" for label, words in (("1", "good great fine nice"), ("0", "bad poor awful dull"))
    for word in words.split() for end in ("", "indeed", "again", "as ever", "for all of us")
)
WEIGHTS = Path(__file__).resolve().parent.parent / "weights" / "ag_news.npz"


def main() -> None:
    program.choose(__doc__, "char_cnn.py", {
        "train": command_train, "predict": command_predict, "evaluate": command_evaluate,
    })


# Training -------------------------------------------------------------------------------------------------------


def command_train(arguments: list[str]) -> None:
    flags = train_flags(arguments, SIZES)
    program.begin(flags, shared=True)
    config = dict(read_config(flags.config_path, flags.size) if flags.config_path else SIZES[flags.size])
    if flags.dropout is not None:
        config = check_config(config | {"dropout": flags.dropout}, "--dropout")
    if flags.smoke:
        config, flags.epochs, flags.batch_size = {"conv": [[32, 3, 3], [32, 3, 3]], "fc": [32], "dropout": 0.0}, 8, 4
        flags.learning_rate, flags.max_length = 0.05, 30
    if flags.summary:
        print("\n".join(summary(build(config, len(flags.alphabet), flags.max_length, flags.number_of_classes or 2),
                                flags.max_length)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if flags.smoke:
            flags.data_path = str(Path(folder) / "smoke.csv")
            Path(flags.data_path).write_text(SMOKE, encoding="utf-8")
        data = load(flags, random)
    learn, choose = data.learn, data.choose
    files = [flags.output / (f"{flags.model_name}_{name}" if flags.model_name else name) for name in FILES]
    checkpoint, history_file, weights, metrics, confusion_file, curve_file = files
    flags.plot = flags.plot or curve_file
    program.writable(flags.output)
    program.writable_file(flags.plot, data.path, flags.config_path, *files[:-1])
    program.writable_file(flags.report, data.path, flags.config_path, flags.plot, *files)

    model = build(config, len(flags.alphabet), flags.max_length, len(data.classes))
    weights_of_classes = class_weights_of(learn.labels, len(data.classes)) if flags.class_weights else None
    loss = SoftmaxCrossEntropy(weights_of_classes)
    if flags.focal_loss is not None:
        loss = FocalLoss(flags.focal_loss, weights_of_classes)
    optimizer = make_optimizer(flags.optimizer, flags.learning_rate, flags.weight_decay)
    full_rate = optimizer.lr
    log = tensorboard_log(flags.log_path)
    settings = {name: getattr(flags, name) for name in SETTINGS} | {"config": config, "data": data.digest}
    done: dict[str, Any] = {"epoch": 0, "rows": [], "seconds": 0.0, "threads": default_threads(flags.batch_size)}
    done = begin_run(files, flags.resume, model, optimizer, settings, done, flags.workers)
    if not flags.checkpoint:
        checkpoint.unlink(missing_ok=True)  # another process may have been faster
    history = History(history_file, done["rows"], log)
    if history.rows:
        check_weights(weights, "char_cnn", settings, (history.best("validation"), done["epoch"] + 1))
    parallel = in_threads(model, done["threads"])
    known = {
        "program": "char_cnn", "alphabet": flags.alphabet, "steps": flags.steps, "max_length": flags.max_length,
        "config": config, "labels": data.classes, "names": data.names, "settings": settings,
        "text_column": data.text_column, "label_column": data.label_column,
        "data": flags.data_path if flags.data_path in KNOWN else "",
    }
    chance = math.log(len(data.classes))
    print(
        f"{len(learn.labels)} texts of {len(data.classes)} classes to learn from, {len(choose.labels)} to choose by; a "
        f"blind guess costs {chance:.3f} nats"
    )

    started = time.perf_counter() - done["seconds"]
    try:
        for epoch in range(done["epoch"] + 1, flags.epochs + 1):
            if flags.patience and epoch - history.best("validation") > flags.patience:
                print(f"{flags.patience} epochs in a row were not the best: stopped")
                break
            optimizer.lr = full_rate * (0.5 ** ((epoch - 1) // flags.schedule) if flags.schedule else 1)
            total, num_steps = 0.0, -(-len(learn.labels) // flags.batch_size)
            for places in progress(batches(range(len(learn.labels)), flags.batch_size), f"epoch {epoch}", num_steps):
                texts, labels = learn.ids[places], to_device(learn.labels[mine(places)])
                if flags.dropout_input:
                    texts = with_gaps(texts, flags.dropout_input)
                predicted = parallel.forward(to_device(mine(texts)))
                total += loss.loss(predicted, labels) * len(places)
                gradient = loss.gradient(predicted, labels)
                parallel.backward(gradient)
                optimizer.step(model)
            mean = stop_unless_finite(total / len(learn.labels), model, f"epoch {epoch}")
            log_p = log_probabilities(parallel, choose.ids)
            validation = -float(log_p[numpy.arange(len(log_p)), choose.labels].mean())
            confusion = count_confusions(choose.labels, log_p.argmax(axis=1), len(data.classes))
            history.add(
                epoch=epoch, loss=mean, validation=validation, accuracy=accuracy(confusion), f1=mean_f1(confusion),
                confusion=confusion.tolist(),
            )
            print(
                f"epoch {epoch:3}  loss {mean:.4f}  validation {validation:.4f} (blind: {chance:.3f})  accuracy "
                f"{accuracy(confusion):.4f}  mean F1 {mean_f1(confusion):.4f}", flush=True,
            )
            if epoch == 3 and mean > 0.98 * chance and flags.focal_loss is None:
                print(
                    "The loss is still that of a blind guess. What helps: --optimizer adam --learning_rate 0.001, "
                    "a smaller network, a longer --max_length; and a look at whether the labels go with the texts."
                )
            if history.best("validation") == epoch:
                save_weights(model, weights, known | {"best_epoch": epoch})
            write_metrics(metrics, history.rows, data.names)
            done |= {"epoch": epoch, "rows": history.rows, "seconds": time.perf_counter() - started}
            if flags.checkpoint:
                save_checkpoint(checkpoint, model, optimizer, settings, done)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"--resume goes on after epoch {done['epoch']}" if flags.checkpoint else "") from None

    load_weights(model, weights)  # of the best epoch, which need not be the last
    best = history.rows[history.best("validation") - 1]
    figures = {name: best[name] for name in ("loss", "validation", "accuracy", "f1")} | {
        "best_epoch": best["epoch"], "epochs": done["epoch"], "seed": flags.seed, "seconds": done["seconds"],
        "num_learned": len(learn.labels), "num_to_choose_by": len(choose.labels),
        "command": program.command_line("examples/char_cnn.py", ["train", *arguments]),
    }
    save_weights(model, weights, known | figures)
    program.write_report(flags.report, figures)
    lines = {"training": history.column("loss"), "validation": history.column("validation")}
    curve(flags.plot, lines, "epoch", "loss (nats)", "Texts to classes", {"chance": chance})
    confusion_matrix(confusion_file, shares(numpy.array(best["confusion"])), data.names, "Texts to choose by")
    print(f"\nModel:    {weights}, of epoch {best['epoch']}\nFigures:  {metrics}, {flags.plot}, {confusion_file}")
    more = ["predict", "--model", str(weights), "--text", "I love pizza !"]
    print(f"More:     {program.command_line('examples/char_cnn.py', more)}")


# Trained weights ------------------------------------------------------------------------------------------------


def load_model(path: Path) -> tuple[Sequential, dict[str, Any]]:
    """The network in a model's file, and the metadata that say what it reads, which have to fit it."""
    kinds = {
        "alphabet": str, "steps": list, "max_length": int, "config": dict, "labels": list, "names": list,
        "text_column": str, "label_column": str, "data": str,
    }
    metadata = metadata_of(path, "char_cnn", **kinds)
    config, num_classes = check_config(metadata["config"], str(path)), len(metadata["labels"])
    texts = [*metadata["labels"], *metadata["names"]]
    # A network of a size that the file only claims is not even made.
    right = fits(read_shapes(path), config, len(metadata["alphabet"]), metadata["max_length"], num_classes)
    right = right and all(isinstance(text, str) for text in (*texts, *metadata["steps"]))
    right = right and set(metadata["steps"]) <= STEPS.keys() and metadata["max_length"] <= 1_000_000
    if not right or len(texts) != 2 * num_classes:
        raise ScratchError(f"{path}: its metadata do not fit its network")
    model = build(config, len(metadata["alphabet"]), metadata["max_length"], num_classes)
    load_weights(model, path)
    return model, metadata


def command_predict(arguments: list[str]) -> None:
    parser = program.Parser("Say of which class texts are.", prog="char_cnn.py predict")
    parser.add_argument("--text", action="append", default=[], help="a text; may be given several times")
    parser.add_argument("--json", action="store_true", help="one line of JSON for each text")
    add_model(parser)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, known = load_model(flags.model)
    if flags.summary:
        print("\n".join(summary(model, known["max_length"])))
        return
    texts = flags.text or program.lines_of_stdin("texts; give --text, or one a line on standard input")
    ids = Quantiser(known["alphabet"], known["max_length"])([cleaned(text, known["steps"]) for text in texts])
    unreadable = []
    for text, row, log_p in zip(texts, ids, log_probabilities(model, ids), strict=True):
        if row.max() < 0:
            unreadable.append(text)
            continue
        p = dict(zip(known["names"], numpy.exp(log_p).tolist(), strict=True))
        best = max(p, key=p.__getitem__)
        if flags.json:
            print(json.dumps({"text": text, "class": best, "probabilities": p}, ensure_ascii=False))
        else:
            others = program.one_line(", ".join(f"{name} {value:.3f}" for name, value in p.items()))
            print(f"{program.one_line(text)[:100]}\n  {program.one_line(best)} ({others})")
    if unreadable:  # after the others have their answers
        raise ScratchError(f"{unreadable[0][:40]!r}: has no character that this model knows")


def command_evaluate(arguments: list[str]) -> None:
    parser = program.Parser("Try a model on a table of texts and labels.", prog="char_cnn.py evaluate")
    parser.add_argument(
        "--data_path", "--data-path", "--data", metavar="PATH",
        help="a CSV file; or the test rows of ag_news_csv or french_reviews (default: of what the model has learned)",
    )
    add_columns(parser)
    add_model(parser)
    parser.common(report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, known = load_model(flags.model)
    if flags.summary:
        print("\n".join(summary(model, known["max_length"])))
        return
    if not (flags.data_path or known["data"]):
        raise ScratchError(f"{flags.model}: learned a table of its own; give --data_path, the rows to try it on")
    path, _ = file_of(flags.data_path or known["data"], "test")
    program.writable_file(flags.plot, flags.model, path)
    program.writable_file(flags.report, flags.model, flags.plot, path)
    started = time.perf_counter()
    data = read_table(
        path, flags.text_column or known["text_column"], flags.label_column or known["label_column"],
        Quantiser(known["alphabet"], known["max_length"]), known["steps"], flags.encoding, flags.chunksize,
        flags.max_rows, known["labels"],
    )
    parallel = in_threads(model, default_threads(256))
    guesses = log_probabilities(parallel, data.ids).argmax(axis=1)
    confusion = count_confusions(data.labels, guesses, len(known["labels"]))
    if data.num_unreadable:
        print(f"(left out {data.num_unreadable} texts without a character of the alphabet)")
    print(table(confusion, known["names"]))
    print(f"\n{len(guesses)} texts: accuracy {accuracy(confusion):.4f}, mean F1 {mean_f1(confusion):.4f}")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), known["names"], path.name)
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "f1": mean_f1(confusion), "num_texts": len(guesses),
        "confusion": confusion.tolist(), "seconds": time.perf_counter() - started,
    })


def add_model(parser: program.Parser) -> None:
    parser.add_argument("--model", "--weights", type=Path, default=WEIGHTS, metavar="FILE", help="of train's output")
    parser.add_argument("--summary", action="store_true", help="print the layers and the shapes between them, no more")
    parser.common(device=None)


if __name__ == "__main__":
    program.run(main)
