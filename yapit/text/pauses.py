"""Pauses after blocks, in milliseconds, by the structure that ends with the block. The longest applies."""

INSIDE_SENTENCE = 120  # a long sentence is cut here
SENTENCE = 250  # a sentence ends, and its paragraph continues
LIST_ITEM = 300
PARAGRAPH = 500  # also of a quote, a caption, a footnote
HEADING = 800
CHAPTER = 1_200  # before a thematic break, or a heading of the first level
