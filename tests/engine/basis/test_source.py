from concurrent.futures import ThreadPoolExecutor

from layerscope.engine.basis.source import source_lines, source_text
from layerscope.engine.foundations.ladder import RUNGS


def test_many_threads_may_read_classes_at_once():
    shown = [each for rung in RUNGS.values() for each in rung.shown]
    for _ in range(5):
        source_lines.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            texts = list(pool.map(source_text, shown * 4))
        assert texts == [source_text(each) for each in shown] * 4


def test_the_text_is_the_definition():
    assert source_text(source_text).startswith("def source_text(")
