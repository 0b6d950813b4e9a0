"""Texts that must never be shown, and where they are shown all the same."""

import re

# what identifies people and accounts is private too
PRIVATE = re.compile(r"(?m)^\s+(?:msisdn|encrypted_msisdn|account_no|member_id): \"?([^\"\n]+)\"?$")


def hidden_in(directory):
    """Every secret of a written configuration: whole files, the lines of keys, and private numbers."""
    texts = set()
    for path in directory.iterdir():
        text = path.read_text("utf-8")
        if path.suffix == ".yaml":
            texts |= set(PRIVATE.findall(text))
        elif "PRIVATE KEY" in text:
            texts |= {line for line in text.splitlines() if not line.startswith("---") and len(line) > 8}
        elif path.suffix != ".pem":
            texts.add(text.strip())
    assert len(texts) > 30 and all(len(text) > 6 for text in texts), "these are not all the secrets"
    return texts


def leaks(hidden, shown):
    """Names of the shown texts that hold a hidden one. What leaked is not said, or it would leak here too."""
    return sorted(name for name, text in shown.items() if any(secret in text for secret in hidden))
