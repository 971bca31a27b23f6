"""A right response and a wrong one, for tests in many styles."""

from __future__ import annotations

RIGHT = """
class Empty(Exception):
    pass

def add(a, b):
    if a is None:
        raise ValueError("nothing to add")
    return a + b

class Stack:
    def __init__(self):
        self.items = []
    def push(self, item):
        self.items.append(item)
    def pop(self):
        if not self.items:
            raise Empty("empty")
        return self.items.pop()

def show(a, b):
    print(add(a, b))

def put(path, text):
    with open(path, "w") as file:
        file.write(text)

def sort(values):
    values.sort()
"""
WRONG = (
    RIGHT.replace("a + b", "a - b")
    .replace('ValueError("nothing', 'KeyError("nothing')
    .replace("self.items.pop()", "self.items[0]")
    .replace("file.write(text)", "file.write(text + text)")
    .replace("values.sort()", "values.reverse()")
)
