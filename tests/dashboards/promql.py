"""As much of PromQL as is needed to see which series and labels an expression names, and what it adds up."""

import re
from dataclasses import dataclass

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|\[[^]]*\]|[a-zA-Z_:$][\w:$]*|[{}(),]|[^\s\w"]+?|[\d.]\w*')
GROUPING = {"by", "without", "on", "ignoring", "group_left", "group_right"}
WORDS = {"and", "or", "unless", "bool", "offset"}
AGGREGATION = {"sum", "avg", "min", "max", "count", "group", "stddev", "stdvar", "quantile", "count_values"}
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"')


@dataclass
class Selector:
    metric: str
    matchers: dict  # label → the text with operator and value
    range: str  # within brackets, or empty


@dataclass
class Grouping:
    keyword: str
    labels: set
    after: str  # the operator or aggregation that it belongs to


@dataclass
class Aggregation:
    name: str
    by: set  # None: `without`
    argument: str


class Expression:
    """An expression, taken apart."""

    def __init__(self, text):
        self.text = text
        self.tokens = [(match[0], match.start(), match.end()) for match in TOKEN.finditer(text)]
        self.selectors, self.groupings, self.aggregations, self.made = [], [], [], set()
        self._read()

    def _word(self, at):
        return self.tokens[at][0] if at < len(self.tokens) else ""

    def _closing(self, at):
        """Where the bracket that opens at this token closes."""
        depth = 0
        for index in range(at, len(self.tokens)):
            depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(self._word(index), 0)
            if depth == 0:
                return index
        raise ValueError(f"a bracket is not closed: {self.text}")

    def _between(self, opening, closing):
        return self.text[self.tokens[opening][2] : self.tokens[closing][1]]

    def _read(self):
        at = 0
        while at < len(self.tokens):
            word = self._word(at)
            if word in GROUPING and self._word(at + 1) == "(":
                closing = self._closing(at + 1)
                labels = set(re.findall(r"\w+", self._between(at + 1, closing)))
                self.groupings.append(Grouping(word, labels, self._word(at - 1)))
                at = closing
            elif word in AGGREGATION and self._word(at + 1) in ("(", "by", "without"):
                self._aggregation(at)
            elif word == "label_replace":
                # its second argument is the label that it makes
                self.made |= set(re.findall(r'"(\w+)"', self._between(at + 1, self._closing(at + 1)))[:-1])
            elif re.match(r"[a-zA-Z_:]", word) and self._word(at + 1) != "(" and word not in WORDS | GROUPING:
                at = self._selector(at)
            at += 1

    def _selector(self, at):
        metric, matchers = self._word(at), {}
        if self._word(at + 1) == "{":
            closing = self._closing(at + 1)
            inside = self._between(at + 1, closing)
            for match in MATCHER.finditer(inside):
                value = re.match(r'(?:[^"\\]|\\.)*', inside[match.end() :])[0]
                matchers[match[1]] = f'{match[2]}"{value}"'
            at = closing
        following = self._word(at + 1)
        self.selectors.append(Selector(metric, matchers, following[1:-1] if following.startswith("[") else ""))
        return at

    def _aggregation(self, at):
        name, by = self._word(at), set()
        if self._word(at + 1) in ("by", "without"):
            closing = self._closing(at + 2)
            labels = set(re.findall(r"\w+", self._between(at + 2, closing)))
            by = labels if self._word(at + 1) == "by" else None
            at = closing
        opening = at + 1
        self.aggregations.append(Aggregation(name, by, self._between(opening, self._closing(opening))))
