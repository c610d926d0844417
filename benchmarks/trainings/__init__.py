"""Real small trainings, each fault beside its repaired twin, and what only looks wrong."""
