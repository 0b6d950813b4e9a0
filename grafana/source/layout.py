"""Where panels are: rows of panels, each as high as its row and together as wide as the grid."""

WIDTH = 24


def place(rows):
    """Panels with their places and ids, of `(height, [(width, panel), …])` and of headings, which are panels alone."""
    placed, top = [], 0
    for entry in rows:
        height, panels = (1, [(WIDTH, entry)]) if isinstance(entry, dict) else entry
        left = 0
        for width, panel in panels:
            place = {"h": height, "w": width, "x": left, "y": top}
            placed.append({**panel, "gridPos": place, "id": len(placed) + 1})
            left += width
        if left != WIDTH:
            raise ValueError(f"{panels[0][1]['title']}: a row of width {left}")
        top += height
    return placed
