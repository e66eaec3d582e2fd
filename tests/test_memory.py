import subprocess
import sys


def test_the_command_line_leaves_without_a_last_search_for_garbage() -> None:
    code = (
        "import atexit, gc, sys; before = gc.get_freeze_count();"
        " atexit.register(lambda: print(gc.get_freeze_count() > before));"  # the first to be registered runs last
        " sys.argv = ['medwsss', '--version'];"
        " from medwsss.cli.main import run; run()"
    )
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert answer.stdout.split()[-1] == "True"
