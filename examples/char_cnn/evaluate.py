"""`python examples/char_cnn evaluate`: accuracy and F1 of trained weights on a table of texts and labels."""

import os

from char_cnn.data import file_of
from char_cnn.flags import add_columns, add_model
from char_cnn.network import load, log_probabilities, summary
from char_cnn.tables import read_table
from char_cnn.texts import Quantiser

from scratch.checks import ScratchError
from scratch.fast import fast
from scratch.tools import program
from scratch.tools.plots import confusion_matrix
from scratch.tools.scores import accuracy, count_confusions, mean_f1, shares, table


def command(arguments: list[str]) -> None:
    parser = program.Parser("Evaluate weights on a table of texts and labels.", prog="char_cnn evaluate")
    parser.add_argument(
        "--data_path", "--data-path", "--data", type=os.fspath, metavar="PATH",
        help="a CSV file, or the test rows of ag_news_csv or french_reviews (default: those of the training data)",
    )
    add_columns(parser)
    add_model(parser)
    parser.common(report=None, plot=None)
    flags = parser.parse_args(arguments)
    program.begin(flags)
    model, known = load(flags.model)
    if flags.summary:
        print("\n".join(summary(model, known["max_length"])))
        return
    if not (flags.data_path or known["data"]):
        raise ScratchError(f"{flags.model}: not trained on a known data set; give the test rows with --data_path")
    path, _ = file_of(flags.data_path or known["data"], "test")
    program.writable_file(flags.plot, flags.model, path)
    program.writable_file(flags.report, flags.model, flags.plot, path)
    data = read_table(
        path, flags.text_column or known["text_column"], flags.label_column or known["label_column"],
        Quantiser(known["alphabet"], known["max_length"]), known["steps"], flags.encoding, flags.chunksize,
        flags.max_rows, known["labels"],
    )
    guesses = log_probabilities(model if flags.plain else fast(model), data.ids).argmax(axis=1)
    confusion = count_confusions(data.labels, guesses, len(known["labels"]))
    if data.num_unreadable:
        print(f"(omitted {data.num_unreadable} texts without a character of the alphabet)")
    print(table(confusion, known["names"]))
    print(f"\n{len(guesses)} texts: accuracy {accuracy(confusion):.4f}, mean F1 {mean_f1(confusion):.4f}")
    if flags.plot:
        confusion_matrix(flags.plot, shares(confusion), known["names"], path.name)
    program.write_report(flags.report, {
        "accuracy": accuracy(confusion), "f1": mean_f1(confusion), "num_texts": len(guesses),
        "confusion": confusion.tolist(),
    })
