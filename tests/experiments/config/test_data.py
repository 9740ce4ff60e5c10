from experiments.config import DEFAULT_ROOT, EMBEDDED, QUICK_ROOT, Compare, Data, Pretrain, Train


def test_the_embedded_data_are_what_is_trained_on_where_nothing_is_said():
    assert Data().root == DEFAULT_ROOT
    assert {DEFAULT_ROOT, QUICK_ROOT} == set(EMBEDDED)


def test_whoever_takes_videos_takes_the_same():
    assert Pretrain().data == Train().data == Compare().data == Data()
