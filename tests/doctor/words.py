"""What the doctor is asked."""

COMMIT, REPO = "0123456789abcdef0123456789abcdef01234567", "makers/model"
SD = ["model=sd", "size=16", "dataset=shapes", "scorers=[]"]
