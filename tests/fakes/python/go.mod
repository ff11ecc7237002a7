module fake/python

go 1.26
