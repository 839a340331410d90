"""A model folder -> what other tools run. Nothing is handed over before its loss of accuracy was measured."""
