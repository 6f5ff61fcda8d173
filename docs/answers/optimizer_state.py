"""Answers to the exercises on optimizer_state.py."""


def grown(saved):
    steps = {f"layers.0.{name}": count for name, count in saved["steps"].items()}
    arrays = {}
    for name, array in saved["arrays"].items():
        # "m/w" becomes "m/layers.0.w": the slot stays in front of the name of the Parameter.
        slot, parameter = name.split("/")
        arrays[f"{slot}/layers.0.{parameter}"] = array
    return saved | {"steps": steps, "arrays": arrays}  # a new dict; kind and arguments stay as they are
