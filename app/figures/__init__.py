"""From results to pictures: forms of charts, cells, sketches and numbers as text. Knows no HTTP."""
