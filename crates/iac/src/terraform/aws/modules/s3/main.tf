# One region's bucket. Replication runs in both directions at all times, so a failover changes nothing here.

resource "aws_s3_bucket" "this" {
  bucket = var.name

  tags = { "lifeboat:backup" = var.app }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.kms_key_arn
    }
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_replication_configuration" "this" {
  count = length(var.replicate_to) > 0 ? 1 : 0

  bucket = aws_s3_bucket.this.id
  role   = aws_iam_role.replication.arn

  dynamic "rule" {
    for_each = var.replicate_to

    content {
      id       = rule.key
      status   = "Enabled"
      priority = index(keys(var.replicate_to), rule.key) + 1

      filter {
        prefix = ""
      }

      # A deletion in one region must not spare the other, or the buckets drift apart.
      delete_marker_replication {
        status = "Enabled"
      }

      source_selection_criteria {
        sse_kms_encrypted_objects {
          status = "Enabled"
        }

        replica_modifications {
          status = "Enabled"
        }
      }

      destination {
        bucket = rule.value.bucket_arn

        encryption_configuration {
          replica_kms_key_id = rule.value.kms_key_arn
        }

        # Time control: S3 undertakes 15 minutes and measures how far behind the replica is.
        metrics {
          status = "Enabled"

          event_threshold {
            minutes = 15
          }
        }

        replication_time {
          status = "Enabled"

          time {
            minutes = 15
          }
        }
      }
    }
  }

  depends_on = [aws_s3_bucket_versioning.this]
}

resource "aws_iam_role" "replication" {
  name = "${var.name}-replication"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Action    = "sts:AssumeRole"
      Principal = { Service = "s3.amazonaws.com" }
    }]
  })
}

resource "aws_iam_role_policy" "replication" {
  name = "replication"
  role = aws_iam_role.replication.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat([
      {
        Effect   = "Allow"
        Action   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
        Resource = aws_s3_bucket.this.arn
      },
      {
        Effect = "Allow"
        Action = [
          "s3:GetObjectVersionAcl",
          "s3:GetObjectVersionForReplication",
          "s3:GetObjectVersionTagging",
        ]
        Resource = "${aws_s3_bucket.this.arn}/*"
      },
      {
        Effect   = "Allow"
        Action   = "kms:Decrypt"
        Resource = var.kms_key_arn
      },
      ], [for target in values(var.replicate_to) : {
        Effect   = "Allow"
        Action   = ["s3:ReplicateDelete", "s3:ReplicateObject", "s3:ReplicateTags"]
        Resource = "${target.bucket_arn}/*"
        }], [for target in values(var.replicate_to) : {
        Effect   = "Allow"
        Action   = "kms:Encrypt"
        Resource = target.kms_key_arn
    }])
  })
}

# Where nothing is written nothing is measured: the alarm need not be turned round after a failover.
resource "aws_cloudwatch_metric_alarm" "lag" {
  for_each = var.replicate_to

  alarm_name          = "${var.name}-replication-lag-${each.key}"
  alarm_description   = "A failover now could lose more than the objective allows."
  namespace           = "AWS/S3"
  metric_name         = "ReplicationLatency"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.lag_alarm_seconds
  statistic           = "Maximum"
  period              = 60
  evaluation_periods  = 3
  treat_missing_data  = "notBreaching"
  alarm_actions       = var.alarm_actions
  ok_actions          = var.alarm_actions

  dimensions = {
    SourceBucket      = aws_s3_bucket.this.bucket
    DestinationBucket = element(split(":::", each.value.bucket_arn), 1)
    RuleId            = each.key
  }
}
