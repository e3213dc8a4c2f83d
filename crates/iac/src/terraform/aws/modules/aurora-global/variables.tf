variable "name" {
  description = "Identifier of the cluster, and prefix of all names."
  type        = string
}

variable "app" {
  description = "Value of the tag lifeboat:backup, by which the backup plan finds the cluster."
  type        = string
}

variable "partition" {
  description = "Partition of ARNs, such as aws."
  type        = string
}

variable "network" {
  description = "Outputs of the region's network module."
  type = object({
    vpc_id             = string
    private_subnet_ids = list(string)
  })
}

variable "global_cluster" {
  description = "Identifier of the global cluster to join; null: none."
  type        = string
  default     = null
}

variable "engine_version" {
  description = "Version of Aurora PostgreSQL when the cluster is created."
  type        = string
}

variable "database" {
  description = "Name of the database that is made in the first writer."
  type        = string
}

variable "clients" {
  description = "Address ranges that may connect, by region: after a failover the clients may be elsewhere."
  type        = map(string)
}

variable "port" {
  description = "TCP port."
  type        = number
}

variable "hourly_copies" {
  description = "Whether copies go to other regions every hour: backups are all that they have."
  type        = bool
  default     = false
}

variable "created_as_writer" {
  description = "Whether this member writes when it is made. Means nothing once the cluster exists."
  type        = bool
}

variable "master_password" {
  description = "Password of the first user; handed over once, kept in no state file."
  type        = string
  sensitive   = true
  ephemeral   = true
  default     = null
}

variable "instances" {
  description = "Instances in this region. None: the data are there, and a failover has to add one first."
  type        = number
}

variable "instance_class" {
  description = "Class of the instances; the same in every region, so that a promoted member bears the load."
  type        = string
}

variable "write_forwarding" {
  description = "Whether a secondary passes writes on to the writer."
  type        = bool
  default     = false
}

variable "kms_key_arn" {
  description = "The region's key."
  type        = string
}

variable "backup_days" {
  description = "For how long any moment can be restored."
  type        = number
}

variable "lag_alarm_milliseconds" {
  description = "Replication lag above which a failover could lose too much."
  type        = number
}

variable "alarm_actions" {
  description = "ARNs that are told of alarms."
  type        = list(string)
  default     = []
}

variable "exists" {
  description = "Whether there is a database here. A region that restores from backups has only what surrounds it until then."
  type        = bool
  default     = true
}

variable "after" {
  description = "What has to be there before, of another region. Not the whole module: what waits for a dark region would be much."
  type        = any
  default     = null
}
