"""Python imports this by itself in every process of a storm, since its folder is on their path."""

from tests.storm.plugin import install

install()
