"""What a piece of JSON must look like: every key is known, required unless said otherwise, and of its type.

A dict is an object with exactly these keys. A list of one is a list of such. A type, a set of constants, or a function
that says what is wrong, stands for a value. Grafana itself ignores what it does not know: a typo is silent there.
"""


class Optional:
    def __init__(self, shape):
        self.shape = shape


class OneOf:
    """Any of these shapes, picked by a key whose value is constant."""

    def __init__(self, key, **shapes):
        self.key, self.shapes = key, shapes


def problems(value, shape, where):
    """Everything that is wrong, each as a place and words."""
    if isinstance(shape, Optional):
        yield from problems(value, shape.shape, where)
    elif isinstance(shape, OneOf):
        kind = value.get(shape.key) if isinstance(value, dict) else None
        if kind not in shape.shapes:
            yield f"{where}.{shape.key}: {kind!r} is none of {sorted(shape.shapes)}"
        else:
            yield from problems(value, {shape.key: {kind}, **shape.shapes[kind]}, where)
    elif isinstance(shape, dict):
        yield from _object(value, shape, where)
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{where}: expected a list, found {value!r}"
        else:
            for index, item in enumerate(value):
                yield from problems(item, shape[0], f"{where}[{index}]")
    elif isinstance(shape, (set, frozenset)):
        # 1 and True are equal in Python
        if not any(value == one and type(value) is type(one) for one in shape):
            yield f"{where}: {value!r} is none of {sorted(map(str, shape))}"
    elif isinstance(shape, (type, tuple)):
        allowed = shape if isinstance(shape, tuple) else (shape,)
        if type(value) not in allowed:
            yield f"{where}: expected {' or '.join(each.__name__ for each in allowed)}, found {value!r}"
    else:
        wrong = shape(value)
        if wrong:
            yield f"{where}: {wrong}"


def _object(value, shape, where):
    if not isinstance(value, dict):
        yield f"{where}: expected an object, found {value!r}"
        return
    for key in value.keys() - shape.keys():
        yield f"{where}: unknown key {key!r}"
    for key, expected in shape.items():
        if key in value:
            yield from problems(value[key], expected, f"{where}.{key}")
        elif not isinstance(expected, Optional):
            yield f"{where}: {key!r} is missing"
