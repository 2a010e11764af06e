"""The counter counts."""

from django.contrib.auth.models import Group

from tests.counting import counted


def test_queries_and_rows_are_counted(db):
    Group.objects.all().delete()
    Group.objects.bulk_create([Group(name=f"group {n}") for n in range(250)])
    with counted() as found:
        assert len(list(Group.objects.all())) == 250
        Group.objects.first()
        Group.objects.count()
        assert len(list(Group.objects.iterator())) == 250
    assert found.queries == 4
    assert found.rows["auth_group"] == 250 + 1 + 1 + 250
    assert found.fetched(without=("auth_group",)) == 0
    with counted() as after:
        pass
    assert (after.queries, after.fetched()) == (0, 0)
