"""The decay law (section 4.3, Eq. 4, Table 6): fits, audit, uncertainty, rivals."""
