"""Evaluates the files of a `.hm` folder and writes the report.

A file or pipeline that fails is a problem in the report and does not hide the others.
"""

from __future__ import annotations

import sys

from hm_host.budget import NotEvaluated, TooLong

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, TracebackType
    from typing import Any

    from hm_host.budget import Budget


# The attribute of an error that has its place where no frame of the user's does.
_PLACE = "_hm_place"


def run(folder: str, files: list[str], budget: Budget, *, installed: bool) -> str:
    """Evaluates `files`, names of files in `folder`, and gives the report as JSON."""
    problems: list[dict[str, Any]] = []
    root = folder.rpartition("/")[0]
    # Behind Python's own modules, which a file of the same name must not hide from the others.
    sys.path.append(folder)
    origins: list[dict[str, Any]] = []
    if not installed:
        from harmont import _places, _refusals

        _places.record(lambda file: _is_users(file, root))
        _refusals.keep()
    for name in files:
        _evaluate_file(folder, name, root, problems, budget, installed)
    if installed:
        from json import dumps

        pipelines = _installed_definitions(root, problems, budget)
    else:
        from harmont._json import dumps

        pipelines = _definitions(root, problems, origins, budget)
    version = ".".join(str(part) for part in sys.version_info[:3])
    lists = f'"pipelines":[{",".join(pipelines)}],"origins":{dumps(origins)},"problems":{dumps(problems)}'
    return f'{{"python":"{version}",{lists}}}'


def _evaluate_file(
    folder: str, name: str, root: str, problems: list[dict[str, Any]], budget: Budget, installed: bool
) -> None:
    path = f"{folder}/{name}"
    module_name = name.removesuffix(".py")
    known = sys.modules.get(module_name)
    if getattr(known, "__file__", None) == path:
        return  # another file has imported it
    if known is not None or module_name in sys.stdlib_module_names:
        module_name = f"harmont_file_{module_name}"
    module: Any = type(sys)(module_name)
    module.__file__ = path
    sys.modules[module_name] = module
    try:
        budget.begin(path)
        with open(path, "rb") as source:
            code = compile(source.read(), path, "exec", dont_inherit=True)
        exec(code, module.__dict__)
        budget.end()
        if not installed:
            _add_refusals(problems, root, path)
    except BaseException as error:
        was_over = budget.end()
        if budget.is_interrupted:
            raise
        sys.modules.pop(module_name, None)
        if not installed:
            from harmont._registry import forget_file

            forget_file(path)
            _add_refusals(problems, root, path)
        problem = _problem(error, root, path, None if isinstance(error, NotEvaluated) else 1, None)
        _add(problems, problem)
        if was_over:
            from json import dumps

            # Known then, should another file hold up this interpreter for good.
            budget.tell(dumps(problem))


def _add_refusals(problems: list[dict[str, Any]], root: str, file: str) -> None:
    """Declarations that were refused while `file` went on."""
    from harmont import _refusals

    for error, place, slug in _refusals.take():
        refused_in, line = place or (file, None)
        _add(problems, _problem(error, root, refused_in, line, slug))


def _definitions(
    root: str, problems: list[dict[str, Any]], origins: list[dict[str, Any]], budget: Budget
) -> list[str]:
    """The pipelines, and in `origins` where each and its steps were written."""
    from harmont import _envelope
    from harmont._json import dumps
    from harmont._registry import registrations
    from harmont._target import clear_values

    clear_values()
    written: list[str] = []
    for entry in registrations():
        code = entry.code
        places: list[tuple[str, int] | None] = []
        try:
            budget.begin(code.co_filename)
            head = dumps(_envelope.head(entry))
            document = _envelope.definition(entry, places)
            definition = _written(document, places)
            budget.end()
        except BaseException as error:
            budget.end()
            if budget.is_interrupted:
                raise
            file, line = getattr(error, _PLACE, (code.co_filename, code.co_firstlineno))
            _add(problems, _problem(error, root, file, line, entry.slug))
        else:
            written.append(f'{head[:-1]},"definition":{definition}}}')
            origins.append(_origin(code, places))
    return written


def _written(document: dict[str, Any], places: list[tuple[str, int] | None]) -> str:
    """The document as JSON; what can't be written is an error with the place of its step."""
    from harmont._json import dumps

    try:
        return dumps(document)
    except (TypeError, ValueError):
        for node, place in zip(document["graph"]["nodes"], places):
            try:
                dumps(node)
            except (TypeError, ValueError) as error:
                if place is not None:
                    setattr(error, _PLACE, place)
                raise
        raise


def _origin(code: CodeType, places: list[tuple[str, int] | None]) -> dict[str, Any]:
    """Where a pipeline was written and where its steps were; each line is listed once."""
    known: dict[tuple[str, int], int] = {}
    steps = [None if place is None else known.setdefault(place, len(known)) for place in places]
    return {
        "definition": (_writable(code.co_filename), code.co_firstlineno),
        "known": [(_writable(file), line) for file, line in known],
        "steps": steps,
    }


def _installed_definitions(root: str, problems: list[dict[str, Any]], budget: Budget) -> list[str]:
    """The pipelines as the installed package of the same name renders them."""
    import json

    import harmont

    try:
        budget.begin(root + "/.hm")
        envelope = json.loads(harmont.dump_registry_json())
        budget.end()
    except BaseException as error:
        budget.end()
        if budget.is_interrupted:
            raise
        _add(problems, _problem(error, root, root + "/.hm", 1, None))
        return []
    return [json.dumps(entry) for entry in envelope["pipelines"]]


def _add(problems: list[dict[str, Any]], problem: dict[str, Any]) -> None:
    same = ("file", "line", "message")
    if not any(all(other[name] == problem[name] for name in same) for other in problems):
        problems.append(problem)


def _problem(error: BaseException, root: str, file: str, line: int | None, slug: str | None) -> dict[str, Any]:
    """What went wrong, at the innermost line of the user's project that took part."""
    start = end = None
    trace = error.__traceback__
    while trace is not None:
        frame_file = trace.tb_frame.f_code.co_filename
        if _is_users(frame_file, root):
            start, end = start or trace, trace
            file, line = frame_file, trace.tb_lineno
        trace = trace.tb_next
    if isinstance(error, TooLong) and end is not None:
        end.tb_next = None  # where it was stopped is no call of the user's
    if isinstance(error, SyntaxError) and error.lineno and (error.filename or "").startswith(root + "/"):
        file, line = error.filename, error.lineno
    return {
        "file": _writable(file),
        "line": line,
        "pipeline": slug,
        "message": _writable(_message(error, file, line)),
        "traceback": _writable(_traceback(error, start)),
    }


def _is_users(file: str, root: str) -> bool:
    """Whether a file is one of the user's project, not of a package that is installed in it."""
    return file.startswith(root + "/") and "/site-packages/" not in file


def _message(error: BaseException, file: str, line: int | None) -> str:
    if isinstance(error, SystemExit):
        return f"the file ends the interpreter: sys.exit({error.code!r})"
    try:
        text = error.msg if isinstance(error, SyntaxError) else str(error)
    except Exception:
        text = "an error whose text can't be made"
    if isinstance(error, ImportError):
        from hm_host import imports

        text = imports.failed(error, file, line) or text
    if isinstance(error, TypeError) and "unexpected keyword argument" in text:
        from hm_host.options import unknown_option

        text = unknown_option(error) or text
    if text.startswith("hm"):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _traceback(error: BaseException, start: TracebackType | None) -> str:
    from traceback import format_exception

    try:
        return "".join(format_exception(type(error), error, start, chain=start is not None))
    except Exception:
        return f"{type(error).__name__}\n"


def _writable(text: str) -> str:
    """`text` with what has no form in UTF-8 spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
