"""A student in the formats others read, and the card that says what it is."""
