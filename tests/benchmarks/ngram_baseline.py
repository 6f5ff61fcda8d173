"""A baseline for texts in a table: logistic regression on the counts of character n-grams.

    pip install -e '.[bench]'
    python tests/benchmarks/ngram_baseline.py french_reviews

The features are n-grams of 1 to 5 characters with tf-idf weights, from scikit-learn. The regularisation strength is
chosen on the network's validation set; the score is that on the test rows.
"""

import random
import sys
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples"))

from char_cnn import data, tables

from scratch.tools.extras import extra
from scratch.tools.history import progress
from scratch.tools.program import Parser, run
from scratch.tools.scores import accuracy, count_confusions, mean_f1


def main() -> None:
    parser = Parser(__doc__)
    parser.add_argument("data", choices=data.KNOWN, help="name of a known data set")
    flags = parser.parse_args()
    features = extra("sklearn.feature_extraction.text", "this baseline")
    linear = extra("sklearn.linear_model", "this baseline")
    random.seed(0)
    path, known = data.file_of(flags.data, "train")
    texts, labels = read(path, known)
    if known.validation:
        training, validation = (texts, labels), read(path.parent / known.validation, known)
    else:
        numbers = {label: number for number, label in enumerate(sorted(set(labels)))}
        places = data.divide(numpy.array([numbers[label] for label in labels]), 0.2, random)
        training, validation = (([texts[k] for k in part], [labels[k] for k in part]) for part in places)
    test = read(data.file_of(flags.data, "test")[0], known)

    ngrams = features.TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 5), sublinear_tf=True, min_df=2)
    x, x_validation, x_test = ngrams.fit_transform(training[0]), *map(ngrams.transform, (validation[0], test[0]))
    strengths = progress((1, 3, 10, 30, 100), "fitting")
    models = [linear.LogisticRegression(C=c, max_iter=1000).fit(x, training[1]) for c in strengths]
    best = max(models, key=lambda model: model.score(x_validation, validation[1]))
    numbers = {label: number for number, label in enumerate(best.classes_)}
    actual, guessed = ([numbers[label] for label in part] for part in (test[1], best.predict(x_test)))
    confusion = count_confusions(actual, guessed, len(numbers))
    print(f"{x.shape[1]} n-grams, C = {best.C}; {len(actual)} test rows: accuracy {accuracy(confusion):.4f}, mean F1 "
          f"{mean_f1(confusion):.4f}")


def read(path: Path, known: data.Known) -> tuple[list[str], list[str]]:
    """The texts of a file in lower case, and their labels."""
    texts, labels = [], []
    rows = tables.read_rows(path, known.text_column, known.label_column, "utf-8", 50_000, None)
    for _, some_texts, some_labels in rows:
        texts += [text.lower() for text in some_texts]
        labels += some_labels
    return texts, labels


if __name__ == "__main__":
    run(main)
