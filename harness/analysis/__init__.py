"""The paper's analyses and the study of aligned sparse retrieval: data, no pictures."""
