"""The fixture `mocker`: patches that end with the test."""

from __future__ import annotations

import functools
import inspect
import unittest.mock
from typing import Any


class _Patcher:
    """`mocker.patch`: starts a patch and remembers to stop it."""

    def __init__(self, fixture: MockerFixture) -> None:
        self._fixture = fixture

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self._fixture._start(unittest.mock.patch(*arguments, **options))

    def object(self, *arguments: Any, **options: Any) -> Any:
        return self._fixture._start(unittest.mock.patch.object(*arguments, **options))

    def multiple(self, *arguments: Any, **options: Any) -> Any:
        return self._fixture._start(unittest.mock.patch.multiple(*arguments, **options))

    def dict(self, *arguments: Any, **options: Any) -> Any:
        return self._fixture._start(unittest.mock.patch.dict(*arguments, **options))


class MockerFixture:
    """Patches, spies and stubs, undone after the test."""

    Mock, MagicMock, AsyncMock = unittest.mock.Mock, unittest.mock.MagicMock, unittest.mock.AsyncMock
    NonCallableMock, PropertyMock = unittest.mock.NonCallableMock, unittest.mock.PropertyMock
    ANY, DEFAULT, call, sentinel = (getattr(unittest.mock, name) for name in ("ANY", "DEFAULT", "call", "sentinel"))
    mock_open, seal = staticmethod(unittest.mock.mock_open), staticmethod(unittest.mock.seal)

    def __init__(self) -> None:
        self.patch = _Patcher(self)
        self.mock_module = unittest.mock
        self._patches: list[tuple[Any, Any]] = []

    def _start(self, patch: Any) -> Any:
        mocked = patch.start()
        self._patches.append((patch, mocked))
        return mocked

    def create_autospec(self, *arguments: Any, **options: Any) -> Any:
        return unittest.mock.create_autospec(*arguments, **options)

    def spy(self, owner: Any, name: str) -> Any:
        """Replace a method or function by a mock that calls it and keeps its results."""
        method = getattr(owner, name)
        bound = inspect.isclass(owner) and isinstance(inspect.getattr_static(owner, name), (classmethod, staticmethod))

        def note(kind: str, value: Any) -> None:
            setattr(spied, f"spy_{kind}", value)
            getattr(spied, f"spy_{kind}_list").append(value)

        @functools.wraps(method)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            spied.spy_return, spied.spy_exception = None, None
            try:
                result = method(*arguments, **options)
            except BaseException as error:
                spied.spy_exception = error
                raise
            note("return", result)
            return result

        @functools.wraps(method)
        async def waiting(*arguments: Any, **options: Any) -> Any:
            spied.spy_return, spied.spy_exception = None, None
            try:
                result = await method(*arguments, **options)
            except BaseException as error:
                spied.spy_exception = error
                raise
            note("return", result)
            return result

        effect = waiting if inspect.iscoroutinefunction(method) else wrapper
        # A mock made after a class's function keeps `self` among the arguments of its calls.
        autospec = inspect.isfunction(method) or inspect.ismethod(method) or bound
        spied = self.patch.object(owner, name, side_effect=effect, autospec=autospec)
        spied.spy_return, spied.spy_exception, spied.spy_return_list = None, None, []
        return spied

    def stub(self, name: str | None = None) -> Any:
        return unittest.mock.MagicMock(spec=lambda *arguments, **options: None, name=name)

    def async_stub(self, name: str | None = None) -> Any:
        return unittest.mock.AsyncMock(spec=lambda *arguments, **options: None, name=name)

    def resetall(self, *, return_value: bool = False, side_effect: bool = False) -> None:
        for _, mocked in self._patches:
            if hasattr(mocked, "reset_mock"):
                mocked.reset_mock(return_value=return_value, side_effect=side_effect)

    def stop(self, mocked: Any) -> None:
        for place, (patch, made) in enumerate(self._patches):
            if made is mocked:
                patch.stop()
                del self._patches[place]
                return

    def stopall(self) -> None:
        while self._patches:
            self._patches.pop()[0].stop()
