"""What a simple rival does on a table of texts: logistic regression on how often runs of characters occur.

    pip install -e '.[bench]'
    python tests/benchmarks/ngram_baseline.py french_reviews

Runs of 1 to 5 characters, weighted by how rare they are (tf-idf), by scikit-learn. How strong the weights are held
down is chosen on the rows that the network chooses its epoch by; the score is on the test rows.
"""

import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from char_cnns import tables
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from scratch.tools.program import Parser, run
from scratch.tools.scores import accuracy, count_confusions, mean_f1


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("data", choices=tables.KNOWN, help="a known data set")
    flags = parser.parse_args()
    random.seed(0)
    path, known = tables.file_of(flags.data, "train")
    texts, labels = read(path, known)
    if known.choose:
        learn, choose = (texts, labels), read(path.parent / known.choose, known)
    else:
        numbers = {label: number for number, label in enumerate(sorted(set(labels)))}
        places = tables.divide(tables.numpy.array([numbers[label] for label in labels]), 0.2, random)
        learn, choose = (([texts[k] for k in part], [labels[k] for k in part]) for part in places)
    test = read(tables.file_of(flags.data, "test")[0], known)

    runs = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, min_df=2)
    x, chosen_by, tried = runs.fit_transform(learn[0]), runs.transform(choose[0]), runs.transform(test[0])
    models = [LogisticRegression(C=c, max_iter=1000).fit(x, learn[1]) for c in (1, 3, 10, 30, 100)]
    best = max(models, key=lambda model: model.score(chosen_by, choose[1]))
    numbers = {label: number for number, label in enumerate(best.classes_)}
    actual, guessed = ([numbers[label] for label in part] for part in (test[1], best.predict(tried)))
    confusion = count_confusions(actual, guessed, len(numbers))
    print(f"{x.shape[1]} runs of characters, C = {best.C}; of {len(actual)} test rows: accuracy "
          f"{accuracy(confusion):.4f}, mean F1 {mean_f1(confusion):.4f}")


def read(path: Path, known: tables.Known) -> tuple[list[str], list[str]]:
    texts, labels = [], []
    for _, some, theirs in tables.read_rows(path, known.text_column, known.label_column, "utf-8", 50_000, None):
        texts += [text.lower() for text in some]
        labels += theirs
    return texts, labels


if __name__ == "__main__":
    run(main)
