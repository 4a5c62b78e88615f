"""One side of the book; see ladder.pyx. C only: nothing in it is visible from Python."""
