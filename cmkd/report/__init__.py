"""``cmkd report``: one HTML file on a run or a comparison (``pip install cmkd[report]``)."""
