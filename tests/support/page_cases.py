"""How tests read a page."""

from html.parser import HTMLParser


class Elements(HTMLParser):
    """(tag, attributes) of every element, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found, self.text = [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text += data

    def by_id(self, name):
        return [element for element in self.found if element[1].get("id") == name]

    def figures(self):
        return [given for tag, given in self.found if tag == "figure"]
