"""The probe where people train: a callback for each trainer, a few lines over ``watch``; and its
figures and findings in what people already have open. Each loads its library when it is used."""
