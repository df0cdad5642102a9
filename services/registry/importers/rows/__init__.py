"""Files of datasets in foreign forms: read into rows, and written from rows, in a limited process."""
