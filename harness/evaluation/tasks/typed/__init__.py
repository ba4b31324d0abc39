"""Local folders of JSON lines, one form for each type of task; `forms` describes them."""
