import pytest

# It is no test module, yet its assertions should say as much when they fail.
pytest.register_assert_rewrite("tests.cmkd.objectives.checks")
