import subprocess
import sys


def _printed(code: str) -> list[str]:
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return answer.stdout.split()


def test_libraries_are_not_searched_for_garbage_while_they_load_nor_when_the_process_ends() -> None:
    code = (
        "import atexit, gc;"
        " atexit.register(lambda: print(gc.get_freeze_count() > 0));"  # the first to be registered runs last
        " from medwsss.memory import collect_garbage_seldom; collect_garbage_seldom();"
        " print(gc.isenabled(), gc.get_freeze_count(), gc.get_threshold()[0])"
    )
    assert _printed(code) == ["True", "0", "10000", "True"]


def test_the_command_line_collects_seldom() -> None:
    code = (
        "import atexit, gc, sys;"
        " atexit.register(lambda: print(gc.get_freeze_count() > 0, gc.get_threshold()[0]));"
        " sys.argv = ['medwsss', '--version'];"
        " from medwsss.cli.main import run; run()"
    )
    assert _printed(code)[-2:] == ["True", "10000"]
