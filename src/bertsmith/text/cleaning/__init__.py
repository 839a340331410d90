"""What is wrong with a document, and what is mended of it: functions of its text alone."""
